"""Files that are on disk before anything follows from them."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Put content in a file's place at once, mode 0600: the old one or the new one is there, whole.

    Args:
        path: of the file; what is begun lies beside it, under its name and `.new`.
        content: all of it.
        durable: have it on disk before this returns, so that it is there whenever the machine stops.

    Raises:
        OSError: the disk is full, or does not let us write.
    """
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    draft.replace(path)
    if durable:
        force_folder(path.parent)


def force_folder(path: Path) -> None:
    """Have on disk which files are in a folder.

    Raises:
        OSError: see replace_file.
    """
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
