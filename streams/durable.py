"""Files that are on disk before anything follows from them."""

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Put content in a file's place at once: the old one or the new one is there, whole.

    Args:
        path: of the file; what is begun lies beside it, under its name and `.new`.
        content: all of it.
        durable: have it on disk before this returns, so that it is there whenever the machine stops.
        mode: who may read and write it, as far as the process' umask lets them.

    Raises:
        OSError: the disk is full, or does not let us write.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
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
