"""Search for products by a shopper's words.

A text is read into terms (`terms`), each with the lexemes that count for it: those of the word itself, of its other spellings,
and of the words that were meant if no product has it (`lexemes`). The index of search vectors then gives candidates, which are
ordered by how rare the words are that they have (`ranking`). Products whose SKU or GTIN the shopper entered come first (`codes`).

While a shopper types, `suggestions` gives categories, brands and products that begin with the text.

How many products have a lexeme is counted now and then (`statistics`), since counting takes longer than a search may.
"""

from catalog.search.products import Match, SearchResult, search_products
from catalog.search.suggestions import Suggestions, suggest

__all__ = ["Match", "SearchResult", "Suggestions", "search_products", "suggest"]
