"""Configs: one file a study, `get_config(variant) -> ConfigDict`, every field commented."""
