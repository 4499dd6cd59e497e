"""Text out of any model, through its three functions alone.

`sampling` turns logits into a token and `stopping` knows a text's end; `prompts` reads texts of
different lengths at once, `loop` draws token after token on the device, and `decoding` is what one
calls: `generate` for whole texts, `stream` for one as it comes. `beam_search` searches instead of
drawing, and `text` turns tokens into pieces that can be shown. Called by `training.writing` and
`training.judging`; nothing here knows of runs or configs.
"""
