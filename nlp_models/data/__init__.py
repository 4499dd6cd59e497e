"""Text on its way to the models: corpus, tokenizer, token files on disk, batches.

One direction, no detours: `corpora` opens a text (a file, a folder, a TFDS set), `tokenizers`
learns a vocabulary from its training split, `store` writes each split's token ids once and maps
them into memory, `batches` cuts rows out of them. `text_files` and `named_sets` are the two sources
behind `corpora`, and `pydoc` is a TFDS set that every Python installation carries.

Training, evaluation and the studies call `store.load_dataset` and `batches`; nothing in here knows
of a model. TFDS is imported only when a TFDS set is opened.
"""
