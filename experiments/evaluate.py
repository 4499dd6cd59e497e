"""Score a trained model on the validation and the test split.

python -m experiments.evaluate --workdir=runs/gru
"""

import json

from absl import flags

from experiments import command

_WORKDIR = flags.DEFINE_string('workdir', None, "A run's folder.", required=True)
_BEST = flags.DEFINE_boolean('best', True, 'The best checkpoint, not the newest.')


def main() -> None:
    """Evaluate."""
    from nlp_models.training.evaluation import evaluate_all
    from nlp_models.training.trained import load_run

    run = load_run(_WORKDIR.value, best=_BEST.value)
    for split in ('validation', 'test'):
        tokens = getattr(run.dataset, split)
        scores = evaluate_all(
            run.model,
            run.params,
            tokens,
            run.dataset.tokenizer.characters,
            length=run.config.sequence_length,
        )
        for name, score in scores.items():
            print(json.dumps({'split': split, 'step': run.step, 'name': name, **score._asdict()}))


if __name__ == '__main__':
    command.run(main)
