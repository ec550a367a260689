"""Where Autobahn|TestSuite, ported to Python 3, meets bytes. port.py puts this file into it.

The suite is written for Python 2, and its payloads are plain string literals. The port leaves all of them alone and
reads the sources as latin-1, so that a str has one character for each byte of Python 2: indexing, slicing, `chr(i)`,
`%`, `join` and comparison mean what they meant there. Bytes exist only below what is in this file, which is where the
suite calls autobahn-python and `binascii`, and where it writes its reports.
"""

import binascii as _binascii
import os as _os


def b(x):
    """A byte string of Python 2, which is a latin-1 str, as bytes; anything else as it is."""
    return x.encode("latin-1") if isinstance(x, str) else x


def s(x):
    """Bytes as a byte string of Python 2, which is a latin-1 str; anything else as it is."""
    return bytes(x).decode("latin-1") if isinstance(x, (bytes, bytearray)) else x


class binascii:
    """What the suite calls of `binascii`, for byte strings of Python 2."""

    @staticmethod
    def b2a_hex(data):
        return _binascii.b2a_hex(b(data)).decode("ascii")

    hexlify = b2a_hex


def utf8(x):
    """What `unicode.encode("utf8")` was in Python 2."""
    return x.encode("utf8", "surrogatepass").decode("latin-1")


def case_text(case):
    """A case's result as `json.dumps` of Python 2 saw it, for which byte strings were UTF-8."""
    return dict(case, description=b(case["description"]).decode("utf8"))


def open_report(path, mode):
    """A file of the report, with one byte for each character, as Python 2 wrote it."""
    return open(path, mode, encoding="latin-1", errors="xmlcharrefreplace")


def resource_filename(package, path):
    """What `pkg_resources.resource_filename` was."""
    return _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), path)


class ByteBoundary:
    """Comes before autobahn's protocol classes in the order of resolution."""

    def sendFrame(self, opcode, payload=b"", *args, **kwargs):
        return super().sendFrame(opcode, b(payload), *args, **kwargs)

    def sendMessage(self, payload, *args, **kwargs):
        return super().sendMessage(b(payload), *args, **kwargs)

    def sendMessageFrameData(self, payload, *args, **kwargs):
        return super().sendMessageFrameData(b(payload), *args, **kwargs)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        return super().sendCloseFrame(code, b(reasonUtf8), isReply)

    def _onMessage(self, payload, isBinary):
        super()._onMessage(s(payload), isBinary)

    def _onPong(self, payload):
        super()._onPong(s(payload))
