"""What the endpoint answers when it turns a request down, in the shape of OpenAI's API; pure."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why a request goes no further: the HTTP status, a sentence for a person, and OpenAI's `code`."""

    status: int
    message: str
    code: str
    parameter: str | None = None
    """The field of the request that is wrong."""

    def body(self) -> bytes:
        """The JSON that clients of OpenAI's API read."""
        error = {
            "message": self.message,
            "type": "invalid_request_error",
            "param": self.parameter,
            "code": self.code,
        }
        return json.dumps({"error": error}).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The reply's headers; RFC 9110 asks a 401 to name the scheme that would do."""
        content = self.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        return headers + ([(b"www-authenticate", b"Bearer")] if self.status == 401 else [])


NO_KEY = Refusal(401, "no key was given; send it as `Authorization: Bearer KEY`", "invalid_api_key")
WRONG_KEY = Refusal(401, "this key is not one of the endpoint's keys", "invalid_api_key")
