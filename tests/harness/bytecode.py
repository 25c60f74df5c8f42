"""Compiled bytecode in `.venv` where the environment forbids it in the tree, as many containers do.

Without it each process of a test compiles FastAPI or torch anew, which takes seconds. Loaded before all other plug-ins.
"""

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(sys.prefix, "bytecode"))
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    del os.environ["PYTHONDONTWRITEBYTECODE"]
