"""What a model has forgotten, where the text to be remembered is named or is the base's."""

import json
from typing import Any

import numpy as np
import pytest

from configs import pretrained
from nlp_models.errors import InputError
from nlp_models.training import judging, loop, sources
from nlp_models.training.trained import load_run
from tests.finetuning_runs import make_bases, text_loss, validation_of
from tests.pretrained_folders import write_folder, write_letters
from tests.task_configs import fine_tune, language_model


@pytest.fixture(scope='module')
def bases(tmp_path_factory):
    return make_bases(tmp_path_factory.mktemp('bases'), 'bert')


def test_an_encoder_is_asked_for_hidden_tokens_of_a_text(bases, tmp_path):
    config = fine_tune(bases / 'bert', bases, 'freeze')
    config.adaptation.remember = str(bases / 'text.txt')
    loop.train(config, str(tmp_path / 'run'))
    told = json.loads((tmp_path / 'run' / 'results.json').read_text())['forgetting']
    assert told['task'] == 'masked_language_modelling'
    assert told['text'] == str(bases / 'text.txt')
    assert told['after'] == pytest.approx(told['before'], rel=1e-6)  # only the head is another
    alone: Any = pretrained.get_config('mlm')  # as the folder is evaluated by itself
    alone.data.update(path=str(bases / 'text.txt'), cache_dir=str(bases / 'cache'))
    alone.data.splits = (0.8, 0.1, 0.1)
    alone.update(init_from=str(bases / 'bert'), sequence_length=96)
    run = sources.load(None, alone)
    want = next(judging.judge(run, judging.load_task(run)))
    assert told['before'] == pytest.approx(want['loss'], rel=1e-5)


def test_an_encoder_without_a_head_is_asked_for_partners(bases, tmp_path):
    def headless(tensors):
        return {name: t for name, t in tensors.items() if not name.startswith('cls.')}

    folder = write_folder(tmp_path / 'bert', 'bert', change=headless, architectures=['BertModel'])
    write_letters(folder, framed=True)
    random = np.random.default_rng(0)
    words = ['cat', 'dog', 'sun', 'mat', 'run', 'saw']
    lines = [' '.join(random.choice(words, 4)) for _ in range(400)]
    path = tmp_path / 'pairs.tsv'
    path.write_text(''.join(f'{line}\t{line[::-1]}\n' for line in dict.fromkeys(lines)))
    config = fine_tune(folder, bases, 'bitfit')
    config.adaptation.remember = str(path)
    loop.train(config, str(tmp_path / 'run'))
    told = json.loads((tmp_path / 'run' / 'results.json').read_text())['forgetting']
    assert (told['task'], told['text']) == ('contrastive', str(path))
    assert 0 < told['before'] != told['after'] > 0
    for wrong, message in {
        str(tmp_path / 'nowhere.tsv'): r"remember is '\S+nowhere.tsv': pairs='\S+' is unknown",
        'reverse': r"remember is 'reverse': tokenizer is 'pretrained': it must be chars or bytes",
        str(bases / 'text.txt'): r"remember is '\S+text.txt': '\S+text.txt', line 1 has no tab",
    }.items():
        config.adaptation.remember = wrong
        with pytest.raises(InputError, match=rf'^adaptation\.{message}'):
            loop.train(config, str(tmp_path / 'other'))
        assert not (tmp_path / 'other').exists()  # it is told before the work


def test_a_base_whose_text_is_gone_is_adapted_all_the_same(bases, tmp_path, caplog):
    text = tmp_path / 'text.txt'
    text.write_text((bases / 'text.txt').read_text())
    config = language_model(tmp_path, 'gru', steps=2, eval_every=2, checkpoint_every=2)
    config.num_devices = 1
    loop.train(config, str(tmp_path / 'base'))
    for change in (lambda: text.write_text(text.read_text().upper()), text.unlink):
        change()
        config = fine_tune(tmp_path / 'base', bases, 'bitfit_lm', steps=1)
        loop.train(config, str(tmp_path / change.__name__))
        results = json.loads((tmp_path / change.__name__ / 'results.json').read_text())
        assert results['forgetting'] is None


def test_before_and_after_are_asked_about_the_same_windows(bases, tmp_path):
    """A prefix takes its share of learned positions; what the base is asked is as short."""
    config = language_model(bases, steps=2, eval_every=2, checkpoint_every=2, num_devices=1)
    config.model.positions = 'learned'
    loop.train(config, str(tmp_path / 'base'))
    config = fine_tune(tmp_path / 'base', bases, 'prefix_lm', sequence_length=13)
    loop.train(config, str(tmp_path / 'run'))
    told = json.loads((tmp_path / 'run' / 'results.json').read_text())['forgetting']
    base, run = load_run(str(tmp_path / 'base')), load_run(str(tmp_path / 'run'))
    text = validation_of(base)
    want = text_loss(base.model, base.params, text, 13)[0]
    assert told['before'] == pytest.approx(want, rel=1e-5)
    want = text_loss(run.model, run.params, text, 13)[0]
    assert told['after'] == pytest.approx(want, rel=1e-5)
    config.sequence_length = 14
    with pytest.raises(InputError, match=r'^sequence_length is 14: it must be at most .* 13$'):
        loop.train(config, str(tmp_path / 'other'))
