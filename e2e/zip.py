"""Zips the functions that Cargo built (`zip.py FOLDER`) to where the template expects them, for the local cloud.

`just build` makes zips for AWS; these hold what runs on this machine, whatever that is.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    built = ROOT / sys.argv[1]
    for function in sorted(path.name for path in (ROOT / "functions").iterdir() if path.is_dir()):
        folder = ROOT / "target" / "lambda" / function
        folder.mkdir(parents=True, exist_ok=True)
        bootstrap = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
        bootstrap.external_attr = 0o755 << 16
        with zipfile.ZipFile(folder / "bootstrap.zip", "w") as archive:
            # Quickly rather than well: it is unpacked again at once.
            binary = (built / function).read_bytes()
            archive.writestr(bootstrap, binary, compress_type=zipfile.ZIP_DEFLATED, compresslevel=1)


if __name__ == "__main__":
    main()
