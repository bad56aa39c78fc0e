"""Writes a new configuration file: template.yaml with a few values filled in.

The file with the values of example.org is config/homeserver.yaml at the top of the project.
"""

import json
from importlib.resources import files
from string import Template

import yaml


def render(
    server_name: str,
    *,
    public_base_url: str | None = None,
    data_dir: str = "./columba-data",
    has_open_registration: bool = False,
) -> str:
    """The text of a configuration file, with every setting and its explanation.

    `has_open_registration` lets everybody who reaches the server make an account without a token.
    """
    template = Template(files("homeserver.settings").joinpath("template.yaml").read_text(encoding="utf-8"))
    return template.substitute(
        server_name=_as_yaml(server_name),
        public_base_url="null" if public_base_url is None else _as_yaml(public_base_url),
        data_dir=_as_yaml(data_dir),
        registration_enabled="true" if has_open_registration else "false",
        registration_require_token="false" if has_open_registration else "true",
    )


def _as_yaml(text: str) -> str:
    """`text` as YAML writes it: with quotes where it would be read as something else."""
    try:
        is_plain = yaml.safe_load(text) == text
    except yaml.YAMLError:
        is_plain = False
    return text if is_plain and "\n" not in text else json.dumps(text)
