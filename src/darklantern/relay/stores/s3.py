"""Blobs in an S3-compatible store, addressed by path. Needs the extra `relay`.

It asks for no conditional writes, which not every such store has: a name is the hash of its bytes, so whoever
writes it twice writes the same. What the hash does not fit is never completed, hence never visible.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from darklantern.errors import StoreError
from darklantern.relay.stores.blobs import CHUNK_BYTES, check_blob_name, checked, within

_PART_BYTES: Final = 8 * 1024 * 1024
"""Above S3's least of 5 MiB, and above one piece of an artifact (4 MiB), which so takes one request."""
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Blobs:
    """See Blobs. `bucket` exists; names get `prefix/` in front when there is a prefix."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None, region: str | None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        with _refusing():
            self._client: Any = boto3.session.Session().client(
                "s3",
                endpoint_url=endpoint,
                region_name=region,
                config=Config(
                    s3={"addressing_style": "path"},
                    signature_version="s3v4",
                    retries={"mode": "standard", "max_attempts": 3},
                    # Newer checksums are AWS's own; other stores refuse them, and we have the BLAKE3.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
            self._client.head_bucket(Bucket=bucket)

    def put(self, name: str, chunks: Iterable[bytes], max_bytes: int) -> int:
        """See Blobs. One request up to 8 MiB, a multipart upload above that; holds two parts at most."""
        at = self._at(name)
        parts = _parts(checked(name, chunks, max_bytes))
        first = next(parts)
        second = next(parts, None)
        if second is None:
            with _refusing():
                self._client.put_object(**at, Body=first)
            return len(first)
        return self._put_parts(at, _chain(first, second, parts))

    def size(self, name: str) -> int | None:
        """See Blobs."""
        with _refusing():
            try:
                return int(self._client.head_object(**self._at(name))["ContentLength"])
            except ClientError as error:
                if _is_absent(error):
                    return None
                raise

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """See Blobs."""
        begin, end = within(name, self.size(name), start, stop)
        if begin == end:  # HTTP has no empty range
            return iter(())
        return self._pieces(name, begin, end)

    def delete(self, name: str) -> bool:
        """See Blobs. Where two delete at once, both may be told True."""
        if self.size(name) is None:
            return False
        with _refusing():
            self._client.delete_object(**self._at(name))
        return True

    def names(self) -> Iterator[str]:
        """See Blobs. A thousand for each request."""
        with _refusing():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"].removeprefix(self._prefix)

    def sweep(self, min_age_s: int) -> int:
        """See Blobs. Age from when the upload began, by the store's clock against this machine's."""
        now = datetime.now(UTC)
        count = 0
        with _refusing():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    age_s = max(0.0, (now - upload["Initiated"]).total_seconds())  # Swift rounds its times up
                    if age_s >= min_age_s:
                        self._abort({"Bucket": self._bucket, "Key": upload["Key"]}, upload["UploadId"])
                        count += 1
        return count

    def close(self) -> None:
        """See Blobs."""
        self._client.close()

    def _pieces(self, name: str, begin: int, end: int) -> Iterator[bytes]:
        """Asks for the bytes when the first piece is asked for: what is never begun leaves no connection open."""
        left = end - begin
        with _refusing():
            body = self._client.get_object(**self._at(name), Range=f"bytes={begin}-{end - 1}")["Body"]
            with closing(body):
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    left -= len(chunk)
                    yield chunk
        if left:
            raise StoreError(f"expected {end - begin} bytes of the blob {name}, {left} are missing", hint="ask again")

    def _put_parts(self, at: dict[str, str], parts: Iterable[bytes]) -> int:
        with _refusing():
            upload = self._client.create_multipart_upload(**at)["UploadId"]
        done: list[dict[str, Any]] = []
        size = 0
        try:
            for number, part in enumerate(parts, 1):  # raises before the last one where the hash does not fit
                with _refusing():
                    answer = self._client.upload_part(**at, UploadId=upload, PartNumber=number, Body=part)
                done.append({"PartNumber": number, "ETag": answer["ETag"]})
                size += len(part)
            with _refusing():
                self._client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload={"Parts": done})
        except BaseException as error:
            self._abort_after(error, at, upload)
            raise
        return size

    def _abort(self, at: dict[str, str], upload: str) -> None:
        with _refusing():
            self._client.abort_multipart_upload(**at, UploadId=upload)

    def _abort_after(self, error: BaseException, at: dict[str, str], upload: str) -> None:
        """Whatever failed is what the caller must hear of; `sweep` finds parts that stayed."""
        try:
            self._abort(at, upload)
        except StoreError as second:
            error.add_note(f"the parts sent so far could not be removed: {second}")

    def _at(self, name: str) -> dict[str, str]:
        check_blob_name(name)
        return {"Bucket": self._bucket, "Key": self._prefix + name}


def _parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts of one size, the last one shorter; one empty part for no bytes at all.

    The last part comes only when `chunks` has ended, hence after its hash was compared.
    """
    held = bytearray()
    sent = False
    for chunk in chunks:
        held += chunk
        while len(held) > _PART_BYTES:
            yield bytes(held[:_PART_BYTES])
            del held[:_PART_BYTES]
            sent = True
    if held or not sent:
        yield bytes(held)


def _chain(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _is_absent(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in _ABSENT


@contextmanager
def _refusing() -> Iterator[None]:
    """boto3's errors as ours."""
    try:
        yield
    except ClientError as error:
        if _is_absent(error):
            raise StoreError(
                "the blob or its bucket is not here", hint="it was deleted, or the URL is wrong"
            ) from error
        said = error.response.get("Error", {})
        raise StoreError(
            f"the S3 store refused {error.operation_name}: {said.get('Code', 'no code')} {said.get('Message', '')}",
            hint="is the key in the credentials file right, and may it read, write and list this bucket?",
        ) from error
    except BotoCoreError as error:
        raise StoreError(
            f"cannot use the S3 store: {type(error).__name__}", hint="is it up, its endpoint right, a key configured?"
        ) from error
