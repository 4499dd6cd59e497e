"""Data on its way to the models: texts or pairs of texts, tokens, batches.

One direction, no detours: `corpora` opens a text (a file, a folder, a TFDS set), `tokenizers`
learns a vocabulary from its training split, `store` writes each split's token ids once and maps
them into memory, `batches` cuts rows out of them and `masking` hides some of their tokens.
`text_files` and `named_sets` are the two sources behind `corpora`, and `pydoc` is a TFDS set that
every Python installation carries. `pairs` opens pairs of a source and a target: strings to reverse
or sort (`procedural`), SCAN (`scan`), halves of docstrings (`docstring_pairs`) or a file of the
user's (`tsv`); `pair_batches` and `contrastive_batches` cut rows out of them. `labelled` opens
texts with labels: docstrings and their packages (`docstring_packages`), a file of the user's
(`records`) or a TFDS set; `labelled_batches` cuts rows out of them. A tokenizer that was made
elsewhere is read by `pretrained_tokenizer`.

`cleaning` drops what is not worth training on, by the rules of `quality` and what `duplicates`
finds more than once; `noise` spoils good text by a known amount.

Training, evaluation and the studies call `store.load_dataset`, `pairs.load_pairs` and what cuts
batches; nothing in here knows of a model. TFDS is imported only when a TFDS set is opened.
"""
