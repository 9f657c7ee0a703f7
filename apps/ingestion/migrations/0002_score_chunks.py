from django.db import migrations

# Row-level security keeps PostgreSQL from using a GIN index for @@, which is not leakproof. This
# function runs as the tables' owner and checks the tenant itself. Its body is bound to this schema's
# tables when it is made, so that no search_path of a caller can lead it elsewhere.
#
# Candidates come from three lists: passages that hold the query's words, passages whose vector is near,
# passages of documents whose title is near. Each candidate is then scored in full, by all measures:
#   lexical   0..1, the share of the query's words that it holds, weighted by how rare they are (idf as in
#             BM25) and, within limits, by how often they occur
#   cosine, title_cosine   likeness of passage and title; NULL when nothing was asked by vector
#   exact     0..1, the share of identifiers in the weight of the query's words, the same in every row
# Sequential scans are off and limits are written out, because the planner cannot know how rare a word is,
# nor what a parameter will hold, and guesses wrong.
# A word's postings are read up to 1,000: what is more frequent than that tells little.
SCORE_CHUNKS = """
CREATE FUNCTION score_chunks(
  asked vector, words integer[], terms text[], identifiers boolean[], all_words text
) RETURNS TABLE (
  chunk_id uuid, document_id uuid, lexical double precision, cosine double precision,
  title_cosine double precision, exact double precision
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
BEGIN ATOMIC
WITH
tenant AS (
  SELECT nullif(current_setting('app.current_tenant_id', true), '')::uuid AS id
),
size AS MATERIALIZED (
  SELECT coalesce(sum(d.chunk_count), 0) AS chunks
  FROM ingestion_document d WHERE d.tenant_id = (SELECT id FROM tenant)
),
term AS (
  SELECT t.word, t.term::tsquery AS query FROM unnest(words, terms) AS t (word, term)
),
word AS (
  SELECT t.word, string_agg(t.term, ' | ')::tsquery AS query, bool_or(t.is_identifier) AS is_identifier
  FROM unnest(words, terms, identifiers) AS t (word, term, is_identifier) GROUP BY t.word
),
posting AS MATERIALIZED (
  SELECT word.word, found.id
  FROM word CROSS JOIN LATERAL (
    SELECT c.id FROM ingestion_chunk c
    WHERE c.terms @@ word.query AND c.tenant_id = (SELECT id FROM tenant)
    LIMIT 1000
  ) found
),
frequency AS (
  SELECT word.word, word.is_identifier, count(posting.id) AS chunks
  FROM word LEFT JOIN posting USING (word) GROUP BY word.word, word.is_identifier
),
idf AS (
  SELECT f.word, f.is_identifier,
         ln(1 + (greatest((SELECT chunks FROM size), f.chunks) - f.chunks + 0.5) / (f.chunks + 0.5)) AS value
  FROM frequency f
),
weight AS MATERIALIZED (
  SELECT idf.word, (idf.value / sum(idf.value) OVER ())::double precision AS share,
         (sum(idf.value) FILTER (WHERE idf.is_identifier) OVER () / sum(idf.value) OVER ())::double precision
           AS exact
  FROM idf
),
wordy AS (
  SELECT posting.id FROM posting JOIN weight USING (word)
  GROUP BY posting.id ORDER BY sum(weight.share) DESC, posting.id LIMIT 100
),
complete AS (
  SELECT c.id FROM ingestion_chunk c
  WHERE all_words <> '' AND c.terms @@ all_words::tsquery AND c.tenant_id = (SELECT id FROM tenant)
  LIMIT 100
),
near AS (
  SELECT c.id FROM ingestion_chunk c
  WHERE asked IS NOT NULL AND c.tenant_id = (SELECT id FROM tenant)
  ORDER BY c.vector <=> asked LIMIT 40
),
titled AS (
  SELECT d.id FROM ingestion_document d
  WHERE asked IS NOT NULL AND d.title_vector IS NOT NULL AND d.tenant_id = (SELECT id FROM tenant)
  ORDER BY d.title_vector <=> asked LIMIT 20
),
lifted AS (
  SELECT best.id FROM titled CROSS JOIN LATERAL (
    SELECT c.id FROM ingestion_chunk c WHERE c.document_id = titled.id ORDER BY c.vector <=> asked LIMIT 1
  ) best
),
candidate AS (
  SELECT id FROM wordy UNION SELECT id FROM complete UNION SELECT id FROM near UNION SELECT id FROM lifted
),
matched AS (
  SELECT c.id, term.word, max(ts_rank('{1,1,1,1}'::real[], c.terms, term.query)) AS rank
  FROM candidate JOIN ingestion_chunk c ON c.id = candidate.id JOIN term ON c.terms @@ term.query
  GROUP BY c.id, term.word
),
held AS (
  SELECT matched.id, sum(weight.share * matched.rank) AS share
  FROM matched JOIN weight USING (word) GROUP BY matched.id
)
SELECT c.id, c.document_id, coalesce(held.share, 0), 1 - (c.vector <=> asked), 1 - (d.title_vector <=> asked),
       coalesce((SELECT max(weight.exact) FROM weight), 0)
FROM candidate
JOIN ingestion_chunk c ON c.id = candidate.id
JOIN ingestion_document d ON d.id = c.document_id
LEFT JOIN held ON held.id = c.id
WHERE c.tenant_id = (SELECT id FROM tenant);
END
"""
# What every search reads stays in the row itself; by default PostgreSQL moves vectors and terms into the
# TOAST table, and a search spends most of its time to fetch them from there.
STORAGE = [
    "ALTER TABLE ingestion_chunk ALTER COLUMN vector SET STORAGE PLAIN, ALTER COLUMN terms SET STORAGE MAIN",
    "ALTER TABLE ingestion_chunk SET (toast_tuple_target = 4080)",
    "ALTER TABLE ingestion_document ALTER COLUMN title_vector SET STORAGE PLAIN",
]
SIGNATURE = "score_chunks(vector, integer[], text[], boolean[], text)"


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial")]

    operations = [
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        # Lists, not strings: the body holds semicolons that must not cut it.
        migrations.RunSQL([SCORE_CHUNKS], [f"DROP FUNCTION {SIGNATURE}"]),
        migrations.RunSQL(
            [f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC", f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO aiaas_app"],
            migrations.RunSQL.noop,
        ),
    ]
