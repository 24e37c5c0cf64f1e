"""What the options are where no flag says it: first the environment, then reqtrail.toml.

The name in the file is that of the flag, with underscores: `loki_tenant`. In the environment it is
REQTRAIL_LOKI_TENANT; the values of an option that may be repeated are separated by `;` there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "reqtrail.toml"
_PREFIX = "REQTRAIL_"
_SEPARATOR = ";"
_ONLY_FLAGS = frozenset({"config", "help", "json", "html", "once"})


def load(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take the defaults of the command that runs from the environment and the file: `path`, else where `find` looks.

    A name at the top of the file counts for every command that has such an option, one in a table like `[top]` for that
    command alone.

    Raises:
        typer.BadParameter: The file cannot be read or has a name that is no option, or an option does not take a value;
            it names the file and the key, or the variable.
    """
    named = path or _path_of_environment()
    file = named or find()
    of_file = {} if file is None else _for_command(ctx, _read(file), file)
    ctx.default_map = {**of_file, **_of_environment(ctx)}
    return file


def find() -> Path | None:
    """reqtrail.toml in the current folder, else in ~/.config/reqtrail; None where there is none."""
    # A user without an entry in the password file, as in a container, may have no home: `~` then stays what it is.
    home = Path(os.path.expanduser(os.environ.get("XDG_CONFIG_HOME") or "~/.config"))  # noqa: PTH111 - pathlib raises
    return next((file for file in (Path(FILE_NAME), home / "reqtrail" / FILE_NAME) if file.is_file()), None)


def _path_of_environment() -> Path | None:
    name = os.environ.get(f"{_PREFIX}CONFIG")
    return Path(name) if name else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _wrong(file, f"it cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(file, f"it is not TOML: {error}") from error


def _of_environment(ctx: typer.Context) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, option in _options(ctx.command).items():
        text = os.environ.get(f"{_PREFIX}{key.upper()}")
        if text:
            parts = [part.strip() for part in text.split(_SEPARATOR)]
            value = [part for part in parts if part] if option.multiple else text
            values[option.name] = _taken(ctx, option, value, f"{_PREFIX}{key.upper()}")
    return values


def _for_command(ctx: typer.Context, content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    commands: Mapping[str, Any] = getattr(ctx.find_root().command, "commands", {})
    keys = {name: _options(command).keys() for name, command in commands.items()}
    known = {key for of_command in keys.values() for key in of_command}
    own = _options(ctx.command)
    values: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            if name not in commands:
                raise _wrong(file, f"unknown table [{name}]; there may be {_listed(commands)}")
            for unknown in value.keys() - keys[name]:
                raise _wrong(file, f"unknown key {unknown!r} in [{name}]; there may be {_listed(keys[name])}")
        elif name not in known:
            raise _wrong(file, f"unknown key {name!r}; there may be {_listed(known)}")
        elif name in own:
            values[name] = value
    values.update(content.get(ctx.command.name or "", {}))
    checked = {name: _checked(own[name], name, value, file) for name, value in values.items()}
    return {own[name].name: _taken(ctx, own[name], value, str(file), f"{name}: ") for name, value in checked.items()}


def _options(command: Any) -> dict[str, Any]:
    """The options of a command that may stand outside of the command line, by the name that they have there."""
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    by_key = {option.opts[0].lstrip("-").replace("-", "_"): option for option in options}
    return {key: option for key, option in by_key.items() if key not in _ONLY_FLAGS}


def _checked(option: Any, name: str, value: Any, file: Path) -> Any:
    if option.multiple:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(entry, str) for entry in values):
            raise _wrong(file, f"{name} is a text or a list of texts, not {_kind(value)}")
        return values
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _wrong(file, f"{name} is one text or number, not {_kind(value)}")
    return str(value)


def _taken(ctx: typer.Context, option: Any, value: Any, place: str, key: str = "") -> Any:
    """The value, which the option takes. Where it does not, the error would name a flag that nobody gave."""
    try:
        option.process_value(ctx, value)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{key}{error.message}", param_hint=place) from error
    return value


def _kind(value: object) -> str:
    """What a value is; not the value itself, which may have a password in it."""
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list with something else in it"}
    return kinds.get(type(value), "a date or time")


def _wrong(file: Path, reason: str) -> typer.BadParameter:
    return typer.BadParameter(reason, param_hint=str(file))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
