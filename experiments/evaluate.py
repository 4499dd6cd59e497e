"""Score a trained model, or a pretrained one as it comes, on the validation and the test split.

python -m experiments.evaluate --workdir=runs/gru
python -m experiments.evaluate --config=configs/pretrained.py --config.init_from=FOLDER

Or on a task that stands in its context, without training (`configs/few_shot.py`):

python -m experiments.evaluate --config=configs/few_shot.py --config.init_from=FOLDER_OR_RUN
"""

import json
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import command

_WORKDIR = flags.DEFINE_string('workdir', None, "A run's folder.")
_CONFIG = config_flags.DEFINE_config_file('config', None, 'A config with init_from, not a run.')
_BEST = flags.DEFINE_boolean('best', True, 'The best checkpoint, not the newest.')
_BEAMS = flags.DEFINE_integer('num_beams', 1, 'Where texts are written; 1: greedily.')


def main() -> None:
    """Evaluate."""
    from nlp_models.training import judging, sources
    from nlp_models.training.workdir import check_same_text

    config = _CONFIG.value
    if config is not None and config.get('task') == 'few_shot' and _WORKDIR.value is None:
        from nlp_models.training import few_shot

        for line in few_shot.run(config):
            print(json.dumps(line, ensure_ascii=False), flush=True)
        return
    run = sources.load(_WORKDIR.value, config, best=_BEST.value)
    task = judging.load_task(run)
    if _WORKDIR.value is not None:
        check_same_text(Path(_WORKDIR.value), task.dataset)
    for result in judging.judge(run, task, num_beams=_BEAMS.value):
        print(json.dumps({'step': run.step, **result}), flush=True)


if __name__ == '__main__':
    command.run(main)
