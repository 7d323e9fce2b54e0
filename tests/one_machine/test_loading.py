"""A service's process loads its modules without the collector and without rich, and works with the collector."""

import ast
import subprocess
import sys
from importlib.resources import files

import pytest

from lifemask.cli.plan import SERVICES

pytestmark = pytest.mark.slow

TOLD = """
import gc
import sys
import lifemask.packager.__main__ as packager

assert not gc.isenabled()
assert not [name for name, module in sys.modules.items() if name.startswith("rich") and module]
try:
    packager.run("packager", packager.packager, packager.PackagerSettings)
except SystemExit as end:
    assert end.code == 3, end.code
    assert gc.isenabled() and gc.get_freeze_count() > 10_000, gc.get_freeze_count()
"""


@pytest.mark.parametrize("service", SERVICES)
def test_the_collector_rests_before_anything_is_loaded(service: str) -> None:
    source = files(f"lifemask.{service}").joinpath("__main__.py").read_text()
    first = next(node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom))
    assert ast.unparse(first) == "import lifemask.runtime.loading"


def test_the_collector_works_where_the_service_does() -> None:
    """A setting is wrong, so that it stops where its work would begin."""
    wrong = {"LIFEMASK_LEASE": "long"}
    done = subprocess.run((sys.executable, "-I", "-c", TOLD), env=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
