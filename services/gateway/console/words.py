"""What the console says: one catalogue a language, made in memory of every .po file of the room."""

from functools import cache, lru_cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from markupsafe import Markup

from shared.scheme.refusals import Language

LOCALE = Path(__file__).parent / "locale"


@cache
def catalogue(language: Language) -> GNUTranslations:
    """Sentences by their Chinese text, words of the contract (statuses, events, fields) by context and code."""
    whole = Catalog(locale=language)
    for file in sorted((LOCALE / language).glob("*.po")):
        with file.open("rb") as content:
            for message in read_po(content, abort_invalid=True):
                if message.id:
                    whole.add(message.id, message.string, context=message.context)
    compiled = BytesIO()
    write_mo(compiled, whole)
    compiled.seek(0)
    return GNUTranslations(compiled)


def say(language: Language, text: str, **values: object) -> str:
    """A sentence in a language, its ``%(name)s`` filled in."""
    said = catalogue(language).gettext(text)
    return said % values if values else said


def sentence(language: Language, text: str, **values: object) -> Markup:
    """A sentence as a page shows it: what is filled in is escaped."""
    return _written(language, text) % values if values else _written(language, text)


@lru_cache(5_000)
def _written(language: Language, text: str) -> Markup:
    return Markup(catalogue(language).gettext(text))


@lru_cache(5_000, typed=True)
def word(language: Language, context: str, code: object) -> str:
    """The word for a code of the contract, else the code itself."""
    return catalogue(language).pgettext(context, str(code)) if code not in (None, "") else ""
