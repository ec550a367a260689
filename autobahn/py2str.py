"""Converts between str and bytes for Autobahn|TestSuite on Python 3. port.py copies this file into the suite.

The suite is written for Python 2, and its payloads are plain string literals. The port changes none of them, and reads
the sources as latin-1. So a str has one character for each byte of Python 2, and indexing, slicing, `chr(i)`, `%`, `join`
and comparison work as in Python 2. Only the functions here handle bytes: where the suite calls autobahn-python and
`binascii`, and where it writes its reports.
"""

import binascii as _binascii
import os as _os


def b(x):
    """Converts a byte string of Python 2, which is a latin-1 str here, to bytes. Returns other values unchanged."""
    return x.encode("latin-1") if isinstance(x, str) else x


def s(x):
    """Converts bytes to a byte string of Python 2, which is a latin-1 str here. Returns other values unchanged."""
    return bytes(x).decode("latin-1") if isinstance(x, (bytes, bytearray)) else x


class binascii:
    """The functions of `binascii` that the suite calls, for byte strings of Python 2."""

    @staticmethod
    def b2a_hex(data):
        return _binascii.b2a_hex(b(data)).decode("ascii")

    hexlify = b2a_hex


def utf8(x):
    """Does what `unicode.encode("utf8")` did in Python 2."""
    return x.encode("utf8", "surrogatepass").decode("latin-1")


def case_text(case):
    """Converts a case's result for `json.dumps`, which took byte strings for UTF-8 in Python 2."""
    return dict(case, description=b(case["description"]).decode("utf8"))


def open_report(path, mode):
    """Opens a file of the report, which gets one byte for each character, as in Python 2."""
    return open(path, mode, encoding="latin-1", errors="xmlcharrefreplace")


def resource_filename(package, path):
    """Does what `pkg_resources.resource_filename` did."""
    return _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), path)


class ByteBoundary:
    """Converts the arguments of autobahn's protocol classes. Comes before them in the method resolution order."""

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
