from django.db import migrations, models

# By name, because a tenant's schema is made from generated SQL, where Django cannot look names up.
DROP_OLD = [
    'ALTER TABLE "conversations_conversation" DROP CONSTRAINT IF EXISTS "conversations_conversation_open_key_key"',
    'ALTER TABLE "conversations_message" DROP CONSTRAINT IF EXISTS "conversations_message_reply_key_key"',
    'DROP INDEX IF EXISTS "conversations_conversation_open_key_06448286_like"',
    'DROP INDEX IF EXISTS "conversations_message_reply_key_74aac2d7_like"',
]


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0002_calls_for_a_person'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(DROP_OLD, migrations.RunSQL.noop)],
            state_operations=[
                migrations.AlterField(
                    model_name='conversation',
                    name='open_key',
                    field=models.CharField(blank=True, max_length=255, null=True),
                ),
                migrations.AlterField(
                    model_name='message',
                    name='reply_key',
                    field=models.CharField(blank=True, max_length=255, null=True),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name='conversation',
            constraint=models.UniqueConstraint(condition=models.Q(('open_key__isnull', False)), fields=('open_key',), name='conversation_opened_once'),
        ),
        migrations.AddConstraint(
            model_name='message',
            constraint=models.UniqueConstraint(condition=models.Q(('reply_key__isnull', False)), fields=('reply_key',), name='reply_once'),
        ),
    ]
