"""Score a trained model on the validation and the test split.

python -m experiments.evaluate --workdir=runs/gru
"""

import json
from pathlib import Path

from absl import flags, logging

from experiments import command

_WORKDIR = flags.DEFINE_string('workdir', None, "A run's folder.", required=True)
_BEST = flags.DEFINE_boolean('best', True, 'The best checkpoint, not the newest.')


def main() -> None:
    """Evaluate."""
    from nlp_models.data import store
    from nlp_models.training.evaluation import evaluate_all
    from nlp_models.training.trained import load_run
    from nlp_models.training.workdir import check_same_text

    run = load_run(_WORKDIR.value, best=_BEST.value)
    dataset = store.load_dataset(run.config.data)
    check_same_text(Path(_WORKDIR.value), dataset)
    for split in ('validation', 'test'):
        tokens = getattr(dataset, split)
        scores = evaluate_all(
            run.model,
            run.params,
            tokens,
            run.tokenizer.characters,
            length=run.config.sequence_length,
        )
        if not scores:
            logging.warning('The %s split is shorter than one window: not scored', split)
        for name, score in scores.items():
            print(json.dumps({'split': split, 'step': run.step, 'name': name, **score._asdict()}))


if __name__ == '__main__':
    command.run(main)
