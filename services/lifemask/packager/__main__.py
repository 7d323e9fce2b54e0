"""`python -m lifemask.packager`."""

from lifemask.packager.settings import PackagerSettings
from lifemask.packager.wiring import packager
from lifemask.runtime.main import run

if __name__ == "__main__":
    run("packager", packager, PackagerSettings)
