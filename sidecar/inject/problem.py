"""What is wrong with a manifest, and where."""


class ManifestError(Exception):
    """The manifest cannot be edited. One sentence; `line` counts from 1 through the whole file, `document` likewise."""

    def __init__(self, message: str, *, line: int, document: int | None = None) -> None:
        self.message = message
        self.line = line
        self.document = document
        super().__init__(message)

    def at(self, file: str) -> str:
        """As one line: `file:line: document 2: message`."""
        where = f"document {self.document}: " if self.document else ""
        return f"{file}:{self.line}: {where}{self.message}"
