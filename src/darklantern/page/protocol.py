"""HTTP without an access log. The first line of such a log would be the one-time link."""

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class QuietProtocol(H11Protocol):
    """Logs no request, whatever the program around us does with uvicorn's loggers.

    uvicorn's own switch only takes the handlers off a global logger, which any other code may put back.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
