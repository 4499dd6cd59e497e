"""Pretrained weights: a model folder as Hugging Face writes it, read into the project's own models.

`load` is what there is to call, and `export` its way back; `resolve` fills a config's `model` group
with what a folder's `config.json` says. A family, one file each, is a table between the two sets of
names: `gpt2`, `llama` (with Mistral and Qwen2) and `bert`; `architectures` lists them. Below these,
`files` finds the folder, `settings` reads its JSON and `tensors` its weights.

Whoever trains, samples or embeds may call it; no model knows of it.
"""
