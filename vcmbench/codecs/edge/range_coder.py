"""An adaptive binary range coder in whole numbers, whose layers end where the decoder can tell.

After Martin (1979) and the coder of LZMA; a probability is the mean of a fast and a slow estimate, as in AV1's and VVC's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from vcmbench.interfaces import BitstreamError

PRECISION = 16
"""Bits of a probability."""
STATE_BYTES = 6
"""Bytes of the coder's low end and width: many, so that the width never rounds a probability away."""
FAST, SLOW = 5, 7
"""Shifts of the two estimates: each moves by 1/32 or 1/128 of its distance."""

_TOP = 1 << 8 * STATE_BYTES
_BOTTOM = 1 << 8 * (STATE_BYTES - 1)
_SHIFT = PRECISION + 1


class Coder(ABC):
    """Codes one layer in numbered contexts: each method returns the given value when encoding, the coded one when decoding.

    A context's probability that a bit is 0 adapts from its prior to what is coded in it.
    """

    @abstractmethod
    def bit(self, value: int, context: int) -> int:
        """Code one bit."""

    @abstractmethod
    def uniform(self, value: int, count: int) -> int:
        """Code a whole number below `count`, all being equally likely; `count` is at most 65,536."""

    def run(self, zeros: int, contexts: Sequence[int]) -> int:
        """Code how many bits 0 come before the first 1, each in one of the contexts; there may be no 1 in all of them."""
        for place, context in enumerate(contexts):
            if self.bit(place == zeros, context):
                return place
        return len(contexts)

    def tree(self, value: int, bits: int, base: int) -> int:
        """Code a number of so many bits, the highest first, each in a context of its own for each value of those above.

        The contexts are `base` + 1 to `base` + 2^bits − 1.
        """
        node = 1
        for shift in range(bits - 1, -1, -1):
            node = 2 * node + self.bit(value >> shift & 1, base + node)
        return node - (1 << bits)


class Encoder(Coder):
    """Encodes one layer."""

    def __init__(self, prior: Sequence[int]) -> None:
        """Take the probability that a bit is 0, from 1 to 65,535 of 65,536, of each context."""
        self._fast, self._slow = list(prior), list(prior)
        self._low = 0
        self._width = _TOP - 1
        self._bytes = bytearray()

    def bit(self, value: int, context: int) -> int:
        """Encode one bit in a context, and adapt it."""
        fast, slow = self._fast, self._slow
        faster, slower = fast[context], slow[context]
        zero = (self._width >> _SHIFT) * (faster + slower)
        if value:
            self._low += zero
            self._width -= zero
            fast[context] = faster - (faster >> FAST)
            slow[context] = slower - (slower >> SLOW)
        else:
            self._width = zero
            fast[context] = faster + (_ONE - faster >> FAST)
            slow[context] = slower + (_ONE - slower >> SLOW)
        if self._width < _BOTTOM:
            self._shift()
        return value

    def tree(self, value: int, bits: int, base: int) -> int:
        """Encode a number, without a call for each bit."""
        fast, slow = self._fast, self._slow
        low, width = self._low, self._width
        node = 1
        for shift in range(bits - 1, -1, -1):
            context = base + node
            faster, slower = fast[context], slow[context]
            zero = (width >> _SHIFT) * (faster + slower)
            if value >> shift & 1:
                low += zero
                width -= zero
                fast[context] = faster - (faster >> FAST)
                slow[context] = slower - (slower >> SLOW)
                node += node + 1
            else:
                width = zero
                fast[context] = faster + (_ONE - faster >> FAST)
                slow[context] = slower + (_ONE - slower >> SLOW)
                node += node
            if width < _BOTTOM:
                self._low, self._width = low, width
                self._shift()
                low, width = self._low, self._width
        self._low, self._width = low, width
        return value

    def uniform(self, value: int, count: int) -> int:
        """Encode a whole number below `count`."""
        step = self._width // count
        self._low += value * step
        self._width = step
        if self._width < _BOTTOM:
            self._shift()
        return value

    def finish(self) -> bytes:
        """Return the layer's bytes."""
        tail = _tail_bytes(self._width)
        unit = 1 << 8 * (STATE_BYTES - tail)
        self._low = -(-self._low // unit) * unit
        self._carry()
        return bytes(self._bytes) + self._low.to_bytes(STATE_BYTES, "big")[:tail]

    def _shift(self) -> None:
        while self._width < _BOTTOM:
            self._carry()
            self._bytes.append(self._low >> 8 * (STATE_BYTES - 1))
            self._low = self._low % _BOTTOM << 8
            self._width <<= 8

    def _carry(self) -> None:
        if self._low < _TOP:
            return
        self._low -= _TOP
        place = len(self._bytes) - 1
        while self._bytes[place] == 255:
            self._bytes[place] = 0
            place -= 1
        self._bytes[place] += 1


class Decoder(Coder):
    """Decodes one layer, from a place in a stream; the values given to its methods do not matter."""

    def __init__(self, prior: Sequence[int], stream: bytes, start: int) -> None:
        """Take the same priors as the encoder."""
        self._fast, self._slow = list(prior), list(prior)
        self._start = start
        self._bytes = stream[start:] + bytes(STATE_BYTES)
        self._next = STATE_BYTES
        self._code = int.from_bytes(self._bytes[:STATE_BYTES], "big")
        self._width = _TOP - 1

    def bit(self, _: int, context: int) -> int:
        """Decode one bit in a context, and adapt it; raise `BitstreamError` behind the end of the stream."""
        fast, slow = self._fast, self._slow
        faster, slower = fast[context], slow[context]
        zero = (self._width >> _SHIFT) * (faster + slower)
        if self._code < zero:
            self._width = zero
            fast[context] = faster + (_ONE - faster >> FAST)
            slow[context] = slower + (_ONE - slower >> SLOW)
            if zero < _BOTTOM:
                self._shift()
            return 0
        self._code -= zero
        self._width -= zero
        fast[context] = faster - (faster >> FAST)
        slow[context] = slower - (slower >> SLOW)
        if self._width < _BOTTOM:
            self._shift()
        return 1

    def tree(self, _: int, bits: int, base: int) -> int:
        """Decode a number of so many bits; raise `BitstreamError` behind the end of the stream."""
        fast, slow = self._fast, self._slow
        code, width = self._code, self._width
        node, end = 1, 1 << bits
        while node < end:
            context = base + node
            faster, slower = fast[context], slow[context]
            zero = (width >> _SHIFT) * (faster + slower)
            if code < zero:
                width = zero
                fast[context] = faster + (_ONE - faster >> FAST)
                slow[context] = slower + (_ONE - slower >> SLOW)
                node += node
            else:
                code -= zero
                width -= zero
                fast[context] = faster - (faster >> FAST)
                slow[context] = slower - (slower >> SLOW)
                node += node + 1
            if width < _BOTTOM:
                self._code, self._width = code, width
                self._shift()
                code, width = self._code, self._width
        self._code, self._width = code, width
        return node - end

    def run(self, _: int, contexts: Sequence[int]) -> int:
        """Decode bits in contexts one after the other, up to the first 1; return how many 0 come before it."""
        fast, slow = self._fast, self._slow
        code, width = self._code, self._width
        zeros = 0
        for context in contexts:
            faster, slower = fast[context], slow[context]
            zero = (width >> _SHIFT) * (faster + slower)
            if code >= zero:
                self._code, self._width = code, width
                self.bit(0, context)
                return zeros
            zeros += 1
            width = zero
            fast[context] = faster + (_ONE - faster >> FAST)
            slow[context] = slower + (_ONE - slower >> SLOW)
            if width < _BOTTOM:
                self._code, self._width = code, width
                self._shift()
                code, width = self._code, self._width
        self._code, self._width = code, width
        return zeros

    def uniform(self, _: int, count: int) -> int:
        """Decode a whole number below `count`, all being equally likely."""
        step = self._width // count
        value = min(self._code // step, count - 1)
        self._code -= value * step
        self._width = step
        if self._width < _BOTTOM:
            self._shift()
        return value

    @property
    def end(self) -> int:
        """Where the layer's bytes end, once its last bit is decoded."""
        return self._start + self._next - STATE_BYTES + _tail_bytes(self._width)

    def _shift(self) -> None:
        code, width, place = self._code, self._width, self._next
        try:
            while width < _BOTTOM:
                code = (code << 8 | self._bytes[place]) % _TOP
                width <<= 8
                place += 1
        except IndexError:
            raise BitstreamError("edge: the stream ends inside a layer") from None
        self._code, self._width, self._next = code, width, place


def _tail_bytes(width: int) -> int:
    """Return after how many bytes the decoder is inside an interval so wide, whatever bytes follow."""
    return 1 if width >= 2 * _BOTTOM else 2


_ONE = 1 << PRECISION
