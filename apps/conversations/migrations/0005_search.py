from django.db import migrations

# Row-level security keeps PostgreSQL from using a GIN index for @@, which is not leakproof. find_messages
# runs as the tables' owner and checks the tenant itself; its body is bound to this schema's tables when it
# is made, so that no search_path of a caller can lead it elsewhere.
#
# Words are split at every punctuation mark, alike in messages and in what is asked, so that a part of an
# e-mail address, an order's number or a hyphened word is found. What is asked matches from the start of a
# word; very short words match whole, because half of all words begin with an "a".
MARKS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00a0\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u00b7\u00bf\u00a1"
WORDS_OF = f"""
CREATE FUNCTION words_of(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('pg_catalog.simple'::regconfig,
                   translate(left(said, 20000), '{MARKS.replace("'", "''")}', '{" " * len(MARKS)}'))
"""
ASKED_FOR = """
CREATE FUNCTION asked_for(asked text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg(quote_literal(lexeme) || CASE WHEN length(lexeme) > 2 THEN ':*' ELSE '' END, ' & ')::tsquery
        FROM unnest(words_of(asked)))
"""
INDEX = """
CREATE INDEX message_words ON conversations_message USING gin (words_of(text)) WITH (gin_pending_list_limit = 512)
"""
# The conversations of up to `most` messages that match, in no order, with how many messages that were.
FIND = """
CREATE FUNCTION find_messages(asked text, most integer) RETURNS TABLE (conversations uuid[], messages bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
BEGIN ATOMIC
SELECT array_agg(DISTINCT found.conversation_id), count(*)
FROM (
  SELECT m.conversation_id FROM conversations_message m
  WHERE words_of(m.text) @@ asked_for(asked)
    AND m.tenant_id = (SELECT nullif(current_setting('app.current_tenant_id', true), '')::uuid)
  LIMIT most
) found;
END
"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0004_inbox")]

    operations = [
        # Lists, not strings: what they hold must not be cut at semicolons.
        migrations.RunSQL([WORDS_OF], ["DROP FUNCTION words_of(text)"]),
        migrations.RunSQL([ASKED_FOR], ["DROP FUNCTION asked_for(text)"]),
        migrations.RunSQL([INDEX], ["DROP INDEX message_words"]),
        migrations.RunSQL([FIND], ["DROP FUNCTION find_messages(text, integer)"]),
        migrations.RunSQL(
            [
                "REVOKE ALL ON FUNCTION find_messages(text, integer) FROM PUBLIC",
                "GRANT EXECUTE ON FUNCTION find_messages(text, integer) TO aiaas_app",
            ],
            migrations.RunSQL.noop,
        ),
    ]
