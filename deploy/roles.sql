-- The three roles, and what each may do in one database. Run it as a superuser in the product's database:
--   createdb aiaas && psql -d aiaas -f deploy/roles.sql
-- then give each role a password (\password aiaas_app) and name them in DATABASE_URL, DATABASE_PLATFORM_URL
-- and DATABASE_OWNER_URL. Running it again changes nothing. The embedded PostgreSQL runs this very file.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['aiaas_owner', 'aiaas_app', 'aiaas_platform'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I', role_name);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION', role_name
        );
    END LOOP;
    EXECUTE format('ALTER DATABASE %I OWNER TO aiaas_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO aiaas_app, aiaas_platform', current_database());
END
$$;

CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;

-- The owner alone makes tables; row-level security decides which rows the other two see.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO aiaas_app, aiaas_platform;
ALTER DEFAULT PRIVILEGES FOR ROLE aiaas_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO aiaas_app;
ALTER DEFAULT PRIVILEGES FOR ROLE aiaas_owner GRANT USAGE, SELECT ON SEQUENCES TO aiaas_app;
