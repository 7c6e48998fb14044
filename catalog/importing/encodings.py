"""Recognises the encoding of a text that does not name it."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

WESTERN = re.compile("[ -~\\s°²³®©™½¼×€£–—‘’“”„«»…¡¿À-ÏÑ-ÖØ-Üß-ïñ-öø-üÿŒœŠšŽžŸ]*")
"""The characters that languages of Western Europe have in shops. Windows-1252 has others, too, which are rare there."""
UNLIKELY_IN_WESTERN = re.compile("[£¼½²³][a-zß-ÿ]|[a-zß-ÿ][£¿¡¼½«]|[À-ÿ]{4}")
"""A sign within a word, and many accents in a row, as other alphabets look in Windows-1252."""
KANA = re.compile("[\u3040-\u30ff]")
JAPANESE_SHARE = 0.2
"""The share of kana among the characters of Japanese text beyond ASCII, at least."""
OTHERS = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "koi8_r", "mac_roman", "cp437"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949"),
)
"""The encodings that charset-normalizer chooses from. Others that it knows are rare, and easily taken for one of these."""
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")


def recognise_encoding(sample: bytes) -> str:
    """Return the most likely encoding of a text without byte order mark, as Python names it.

    Args:
        sample: a part of the text that begins with a whole character.
    """
    if b"\0" in sample:
        return _wide_encoding(sample) or "utf-8"
    if _is_utf_8(sample):
        return "utf-8"
    for encoding, is_likely in LIKELY.items():
        text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
        if "\N{REPLACEMENT CHARACTER}" not in text and is_likely(text):
            return encoding
    whole_lines = sample[: sample.rfind(b"\n") + 1] or sample
    best = from_bytes(whole_lines, cp_isolation=[*OTHERS]).best()
    return best.encoding if best else "utf-8"


def _wide_encoding(sample: bytes) -> str:
    """Return the UTF-16 or UTF-32 in which a sample has the most characters of ASCII; nothing if it is no text."""
    counts = {encoding: _count_ascii(sample, encoding) for encoding in WIDE}
    best = max(WIDE, key=counts.__getitem__)
    return best if counts[best] > 0 else ""


def _count_ascii(sample: bytes, encoding: str) -> int:
    """Return the number of ASCII characters; -1 if the bytes are no text in this encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return -1
    return -1 if "\0" in text else sum(map(str.isascii, text))


def _is_utf_8(sample: bytes) -> bool:
    """Whether a text is UTF-8, perhaps with a few damaged bytes: no other encoding looks like it by chance."""
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(sample)
    beyond_ascii = [character for character in text if character > "\x7f"]
    damaged = sum("\udc80" <= character <= "\udcff" for character in beyond_ascii)
    return damaged <= len(beyond_ascii) - damaged


def _is_western(text: str) -> bool:
    return WESTERN.fullmatch(text) is not None and not UNLIKELY_IN_WESTERN.search(text)


def _is_japanese(text: str) -> bool:
    beyond_ascii = [character for character in text if character > "\x7f"]
    return len(KANA.findall(text)) >= JAPANESE_SHARE * len(beyond_ascii)


def _is_turkish(text: str) -> bool:
    return "ı" in text and not {"ğ", "ş"}.isdisjoint(text)


def _is_chinese(text: str) -> bool:
    """Whether most characters are common Chinese ones, also of the later half, where Korean would have none."""
    leads = [character.encode("gb18030")[0] for character in text if character > "\x7f"]
    common = sum(0xB0 <= lead <= 0xD7 for lead in leads)
    later = sum(0xC9 <= lead <= 0xD7 for lead in leads)
    return common >= 0.7 * len(leads) and later >= 0.1 * len(leads)


LIKELY = {
    "cp1252": _is_western,
    "cp932": _is_japanese,
    "euc_jp": _is_japanese,
    "gb18030": _is_chinese,
    "cp1254": _is_turkish,
}
"""Encodings that are taken at once if a text looks like it: charset-normalizer takes some of them for others."""
