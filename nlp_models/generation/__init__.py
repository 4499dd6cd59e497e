"""Text out of any language model, through its three functions alone."""
