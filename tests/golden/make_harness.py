"""What the `hf` backend of lm-evaluation-harness says of two models, in `harness.json` beside this.

Run from the repository's root, where the `harness` extra, torch and transformers are installed
(made with lm_eval 0.4.13, torch 2.13.0, transformers 5.24.0):

    python -m tests.golden.make_harness

The models are those of `huggingface_gpt2.npz` and `huggingface_llama.npz`, with the tokenizer of
`tests/harness_models.py`, where the requests stand too. For each model there are `loglikelihood`
[[nats, greedy], …], `loglikelihood_rolling` [nats, …] and `generate_until` [text, …].
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports]
from lm_eval.models.huggingface import HFLM  # pyright: ignore[reportMissingImports]

from tests.harness_models import NAMES, PAIRS, TEXTS, UNTIL, harness_folder


def requests(kind: str, arguments: list[tuple]) -> list[Any]:
    """Requests as the harness makes them."""
    return [Instance(request_type=kind, doc={}, arguments=each, idx=0) for each in arguments]


def answers(model: Any) -> dict[str, list]:
    """What a model of the harness says."""
    texts = [(text,) for text in TEXTS]
    until = [(context, dict(how)) for context, how in UNTIL]
    return {
        'loglikelihood': [
            [float(nats), bool(greedy)]
            for nats, greedy in model.loglikelihood(requests('loglikelihood', PAIRS))
        ],
        'loglikelihood_rolling': [
            float(nats)
            for nats in model.loglikelihood_rolling(requests('loglikelihood_rolling', texts))
        ],
        'generate_until': model.generate_until(requests('generate_until', until)),
    }


def hugging_face(folder: Path) -> Any:
    """The harness's own backend on a folder."""
    return HFLM(str(folder), device='cpu', dtype='float32', batch_size=1)


def main() -> int:
    """Write the file."""
    found = {}
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = answers(hugging_face(harness_folder(Path(folder), name)))
        print(name, json.dumps(found[name], indent=1))
    text = json.dumps(found, indent=1)
    (Path(__file__).parent / 'harness.json').write_text(text + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
