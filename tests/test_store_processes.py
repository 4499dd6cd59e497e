"""The token store seen from outside: processes that start at once, and memory at 2 GB of text."""

import hashlib
import json
import subprocess
import sys

import pytest

from nlp_models.data import corpora
from nlp_models.data.store import load_dataset
from tests.data_config import settings

STARTED_TOGETHER = """
import sys, json, hashlib
from ml_collections import ConfigDict
from nlp_models.data import named_sets, pydoc, store
print('ready', flush=True)
sys.stdin.readline()
dataset = store.load_dataset(ConfigDict(json.loads(sys.argv[1])))
print(json.dumps([dataset.fingerprint, *(hashlib.sha256(x).hexdigest() for x in dataset[4:])]))
"""


def test_processes_that_start_at_once_share_one_copy(tmp_path):
    data = settings(cache_dir=str(tmp_path))
    started = [
        subprocess.Popen(
            [sys.executable, '-W', 'error', '-c', STARTED_TOGETHER, data.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == 'ready\n'
    for process in started:
        assert process.stdin is not None
        process.stdin.write('go\n')
        process.stdin.flush()
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert outputs[0] == outputs[1]
    dataset = load_dataset(data)
    digests = [hashlib.sha256(ids.tobytes()).hexdigest() for ids in dataset[4:]]
    assert json.loads(outputs[0][0]) == [dataset.fingerprint, *digests]
    assert [path.name for path in (tmp_path / 'tfds').iterdir()] == ['pydoc']
    assert len(list((tmp_path / 'tokens').iterdir())) == 1
    stream = corpora.open_corpus(data).stream
    for split, ids in zip(corpora.SPLITS, dataset[4:], strict=True):
        assert ids.tobytes() == ''.join(stream(split)).encode()


LOADED_ALONE = """
import json, sys, threading, time
from ml_collections import ConfigDict
from nlp_models.data import store

peak = 0
def watch():
    global peak
    while True:
        with open('/proc/self/status') as status:
            peak = max(peak, *(int(l.split()[1]) for l in status if l.startswith('RssAnon')))
        time.sleep(0.005)

threading.Thread(target=watch, daemon=True).start()
begin = time.monotonic()
dataset = store.load_dataset(ConfigDict(json.loads(sys.argv[1])))
first = time.monotonic() - begin
begin = time.monotonic()
store.load_dataset(ConfigDict(json.loads(sys.argv[1])))
again = time.monotonic() - begin
sizes = [len(ids) for ids in dataset[4:]]
print(json.dumps({'peak_kib': peak, 'first_s': first, 'again_s': again, 'sizes': sizes}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc/self/status')
def test_two_gigabytes_pass_through_little_memory(tmp_path):
    path = tmp_path / 'large.txt'
    block = ('some text, é汉👩\n' * 800_000).encode()
    with path.open('wb') as file:
        while file.tell() < 2_000_000_000:
            file.write(block)
    data = settings(path=str(path), cache_dir=str(tmp_path / 'cache'))
    result = subprocess.run(
        [sys.executable, '-c', LOADED_ALONE, data.to_json()],
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(result.stdout)
    print(measured)
    assert sum(measured['sizes']) == path.stat().st_size
    assert measured['peak_kib'] < 1_000_000
