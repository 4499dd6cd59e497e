"""One file a study: get_config(size) -> ConfigDict, size being quick, standard or full."""
