"""Say what is missing before pip does, in one line. Runs on any Python 3."""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "darklantern needs Python 3.11 or newer; this is %d.%d. Try: make PYTHON=python3.11 demo" % sys.version_info[:2]
    )
try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit("this Python has no venv; on Debian or Ubuntu: apt-get install python3-venv")
