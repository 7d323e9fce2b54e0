"""`python -m lifemask.packager`."""

import lifemask.runtime.loading  # noqa: F401  first
from lifemask.packager.settings import PackagerSettings
from lifemask.packager.wiring import packager
from lifemask.runtime.main import run

if __name__ == "__main__":
    run("packager", packager, PackagerSettings)
