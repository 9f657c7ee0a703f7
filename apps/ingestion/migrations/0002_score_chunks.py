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
# A word's postings are read up to `posting_limit`: what is more frequent than that tells little.
SCORE_CHUNKS = """
CREATE FUNCTION score_chunks(
  asked vector, words integer[], terms text[], identifiers boolean[], all_words text,
  near_limit integer, posting_limit integer
) RETURNS TABLE (
  chunk_id uuid, document_id uuid, lexical double precision, cosine double precision,
  title_cosine double precision, exact double precision
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
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
  SELECT t.word, t.term::tsquery AS query, t.is_identifier
  FROM unnest(words, terms, identifiers) AS t (word, term, is_identifier)
),
posting AS MATERIALIZED (
  SELECT DISTINCT term.word, found.id
  FROM term CROSS JOIN LATERAL (
    SELECT c.id FROM ingestion_chunk c
    WHERE c.terms @@ term.query AND c.tenant_id = (SELECT id FROM tenant)
    LIMIT posting_limit
  ) found
),
frequency AS (
  SELECT term.word, bool_or(term.is_identifier) AS is_identifier,
         (SELECT count(*) FROM posting WHERE posting.word = term.word) AS chunks
  FROM term GROUP BY term.word
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
  GROUP BY posting.id ORDER BY sum(weight.share) DESC, posting.id LIMIT 200
),
complete AS (
  SELECT c.id FROM ingestion_chunk c
  WHERE all_words <> '' AND c.terms @@ all_words::tsquery AND c.tenant_id = (SELECT id FROM tenant)
  LIMIT 200
),
near AS (
  SELECT c.id FROM ingestion_chunk c
  WHERE asked IS NOT NULL AND c.tenant_id = (SELECT id FROM tenant)
  ORDER BY c.vector <=> asked LIMIT near_limit
),
titled AS (
  SELECT d.id FROM ingestion_document d
  WHERE asked IS NOT NULL AND d.title_vector IS NOT NULL AND d.tenant_id = (SELECT id FROM tenant)
  ORDER BY d.title_vector <=> asked LIMIT near_limit
),
lifted AS (
  SELECT best.id FROM titled CROSS JOIN LATERAL (
    SELECT c.id FROM ingestion_chunk c WHERE c.document_id = titled.id ORDER BY c.vector <=> asked LIMIT 2
  ) best
),
candidate AS (
  SELECT id FROM wordy UNION SELECT id FROM complete UNION SELECT id FROM near UNION SELECT id FROM lifted
)
SELECT c.id, c.document_id, coalesce(held.share, 0), 1 - (c.vector <=> asked), 1 - (d.title_vector <=> asked),
       coalesce((SELECT max(weight.exact) FROM weight), 0)
FROM candidate
JOIN ingestion_chunk c ON c.id = candidate.id
JOIN ingestion_document d ON d.id = c.document_id
LEFT JOIN LATERAL (
  SELECT sum(weight.share * often.rank) AS share
  FROM weight JOIN (
    SELECT term.word, max(ts_rank('{1,1,1,1}'::real[], c.terms, term.query)) AS rank FROM term GROUP BY term.word
  ) often USING (word)
) held ON true
WHERE c.tenant_id = (SELECT id FROM tenant);
END
"""
SIGNATURE = "score_chunks(vector, integer[], text[], boolean[], text, integer, integer)"


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial")]

    operations = [
        # Lists, not strings: the body holds semicolons that must not cut it.
        migrations.RunSQL([SCORE_CHUNKS], [f"DROP FUNCTION {SIGNATURE}"]),
        migrations.RunSQL(
            [f"REVOKE ALL ON FUNCTION {SIGNATURE} FROM PUBLIC", f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO aiaas_app"],
            migrations.RunSQL.noop,
        ),
    ]
