"""From a URL to a store. Optional libraries are loaded only by the URL that asks for them."""

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from darklantern.errors import MissingExtraError, StoreError
from darklantern.relay.stores.blobs import Blobs
from darklantern.relay.stores.database import Database
from darklantern.relay.stores.folder import FolderBlobs
from darklantern.relay.stores.sqlite import SqliteEngine


def open_database(url: str) -> Database:
    """`sqlite:///absolute/path`, or `postgresql://user@host/name`; migrated to this version. Open one in each process.

    Raises StoreError, and MissingExtraError for PostgreSQL without the extra `relay`. A password is refused in a
    URL; PostgreSQL reads it from a password file.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return Database(SqliteEngine(_path(url)))
    if scheme in ("postgresql", "postgres"):
        try:
            from darklantern.relay.stores.postgres import PostgresEngine
        except ImportError as error:
            raise _missing("PostgreSQL", "psycopg") from error
        return Database(PostgresEngine(url))
    raise StoreError(
        f"expected sqlite:///path or postgresql://…, got {scheme or 'no scheme'}", hint="a path takes three slashes"
    )


def open_blobs(url: str) -> Blobs:
    """`file:///absolute/path`, or `s3://bucket/prefix?endpoint=https://host:port&region=name`.

    Raises StoreError, and MissingExtraError for S3 without the extra `relay`. S3 takes its key from a credentials
    file (AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials) or the machine's role, never from the URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderBlobs(_path(url))
    if parts.scheme == "s3":
        if parts.username or parts.password or not parts.hostname:
            raise StoreError("expected s3://bucket/prefix without a key in it", hint="put the key into a file")
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        if set(options) - {"endpoint", "region"}:
            raise StoreError(f"expected endpoint and region, got {', '.join(options)}", hint="leave the others out")
        try:
            from darklantern.relay.stores.s3 import S3Blobs
        except ImportError as error:
            raise _missing("S3", "boto3") from error
        endpoint, region = (options.get(key, [None])[0] for key in ("endpoint", "region"))
        if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
            raise StoreError(f"expected endpoint=https://host:port, got {endpoint}", hint="with its scheme")
        return S3Blobs(parts.hostname, parts.path.strip("/"), endpoint, region)
    raise StoreError(
        f"expected file:///path or s3://bucket, got {parts.scheme or 'no scheme'}", hint="a path takes three slashes"
    )


def _path(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise StoreError(f"expected {parts.scheme}:///absolute/path, got {url}", hint="three slashes, and % as %25")
    return Path(unquote(parts.path))


def _missing(what: str, package: str) -> MissingExtraError:
    return MissingExtraError(f"{what} needs {package}", hint="pip install 'darklantern[relay]'")
