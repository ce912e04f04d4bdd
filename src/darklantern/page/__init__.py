"""The library as a local web page, on loopback only.

In: a library that is already open, or anything `Readable`. Out: HTML for one browser on this machine: the list
of findings, each finding as a report with its pictures, assessment, provenance and thread, threads about no
finding, and attachments as files to save. `home`, `report` and `topic` are pure, from values to text; only
`serving.py` opens a socket, and starlette and uvicorn load there, late.

This room never listens beyond loopback, never answers anyone without the cookie that the one-time
link gave, never sends or fetches anything elsewhere, runs no script, writes nothing, and takes
peers' text for data. It does not defend against root, against programs that run as the same user,
against a browser extension, or against a local user who floods the port.
"""

from darklantern.page.home import home
from darklantern.page.report import report
from darklantern.page.serving import Serving, run, serve
from darklantern.page.threads import topic
from darklantern.page.views import (
    Author,
    Download,
    File,
    Item,
    Post,
    Reacted,
    Readable,
    Thread,
    Topic,
    Unopened,
)

__all__ = [
    "Author",
    "Download",
    "File",
    "Item",
    "Post",
    "Reacted",
    "Readable",
    "Serving",
    "Thread",
    "Topic",
    "Unopened",
    "home",
    "report",
    "run",
    "serve",
    "topic",
]
