"""Where a journal lies: a local folder, or one on any filesystem that pyarrow reaches. This acts (files)."""

import uuid
from pathlib import Path

import pyarrow.fs as pafs

from raylign.errors import InputError


class JournalFiles:
    """The journal's folder: a local one, or one on any filesystem that pyarrow reaches.

    Raises:
        InputError: the folder cannot be reached or made.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.local = "://" not in location
        try:
            if self.local:
                self.system, self.folder = pafs.LocalFileSystem(), str(Path(location).expanduser().resolve())
            else:
                self.system, self.folder = pafs.FileSystem.from_uri(location)
            self.system.create_dir(self.folder, recursive=True)
        except (OSError, ValueError) as error:
            raise InputError(
                f"the journal folder {location} cannot be used: {error}",
                "name a folder you may write to, or a URI that pyarrow reads (s3://…, gs://…), in revise.journal",
            ) from error

    def path(self, name: str) -> str:
        """Where a file of the folder lies."""
        return f"{self.folder}/{name}"

    def sizes(self) -> dict[str, int]:
        """Size of every file, by name."""
        infos = self.system.get_file_info(pafs.FileSelector(self.folder))
        return {info.base_name: info.size for info in infos if info.type == pafs.FileType.File}

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file from `start` on."""
        with self.system.open_input_file(self.path(name)) as file:
            file.seek(start)
            return bytes(file.read(length))

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file; on a local folder it appears whole or not at all."""
        hidden = f".{name}.{uuid.uuid4().hex[:8]}" if self.local else name
        with self.system.open_output_stream(self.path(hidden)) as file:
            file.write(content)
        if hidden != name:
            self.system.move(self.path(hidden), self.path(name))
