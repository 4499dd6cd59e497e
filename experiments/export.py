"""Write a trained model as a folder that Hugging Face loads, and `init_from` too; or an adapter.

python -m experiments.export --workdir=runs/gpt2 --output=models/gpt2
python -m experiments.export --workdir=runs/lora --output=adapters/lora --adapter
"""

from absl import flags

from experiments import command

_WORKDIR = flags.DEFINE_string('workdir', None, "A run's folder.", required=True)
_OUTPUT = flags.DEFINE_string('output', None, 'The folder; made if it is not there.', required=True)
_BEST = flags.DEFINE_boolean('best', True, 'The best checkpoint, not the newest.')
_ADAPTER = flags.DEFINE_boolean(
    'adapter', False, 'Only what was learned on top of init_from, for init_from to read.'
)


def main() -> None:
    """Export."""
    from nlp_models.training import adapting

    if _ADAPTER.value:
        size = adapting.save_adapter(_WORKDIR.value, _OUTPUT.value, best=_BEST.value)
        print(f'{_OUTPUT.value}: {size:,} bytes on top of the base')
        return
    from nlp_models.pretrained.export import export
    from nlp_models.training.trained import load_run

    run = load_run(_WORKDIR.value, best=_BEST.value)
    adapting.check_plain(run)
    kind = export(
        _OUTPUT.value,
        run.config.model,
        run.params,
        vocab_size=run.shape.vocab_size,
        context=run.shape.max_length,
        tokenizer=run.tokenizer,
    )
    print(f'{_OUTPUT.value}: model_type {kind}')


if __name__ == '__main__':
    command.run(main)
