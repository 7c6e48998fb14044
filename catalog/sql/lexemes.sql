-- name: lexemes_of_texts
SELECT texts.place, lexemes.lexeme, coalesce(known.products, 0), (SELECT max(products) FROM catalog_searchstatistics)
FROM unnest(%s::text[]) WITH ORDINALITY AS texts (text, place)
CROSS JOIN LATERAL unnest(to_tsvector('catalog', catalog_searchable(texts.text))) AS lexemes
LEFT JOIN catalog_lexeme AS known ON known.lexeme = lexemes.lexeme
ORDER BY texts.place, lexemes.positions[1];

-- name: similar_lexemes
SELECT words.word, found.lexeme, found.products, found.kind, similarity(found.lexeme, words.word)
FROM unnest(%s::text[]) AS words (word)
CROSS JOIN LATERAL (
  SELECT lexeme, products, 'typo' AS kind FROM catalog_lexeme WHERE deletions && catalog_deletions(words.word)
  UNION ALL (
    SELECT lexeme, products, 'similar' FROM catalog_lexeme
    WHERE lexeme %% words.word ORDER BY similarity(lexeme, words.word) DESC, products DESC LIMIT 8
  )
  UNION ALL (
    SELECT lexeme, products, 'compound' FROM catalog_lexeme
    WHERE length(words.word) >= 4
      AND reverse(lexeme) ~>~ reverse(words.word) AND reverse(lexeme) ~<~ (reverse(words.word) || chr(1114111))
    ORDER BY products DESC LIMIT 8
  )
) AS found
WHERE found.lexeme <> words.word;
