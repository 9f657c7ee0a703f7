from django.db import migrations

LIST = """
CREATE FUNCTION list_active_tenants() RETURNS TABLE (id uuid, slug text, schema_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT t.id, t.slug::text, t.schema_name::text FROM tenants_tenant t WHERE t.status = 'active' ORDER BY t.slug
$$;
REVOKE ALL ON FUNCTION list_active_tenants() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION list_active_tenants() TO aiaas_platform;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_policies")]

    operations = [migrations.RunSQL(LIST, "DROP FUNCTION list_active_tenants()")]
