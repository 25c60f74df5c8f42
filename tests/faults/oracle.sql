-- What the protocol forbids, recorded where it is accepted: in the database, in the transaction that does it.
-- Installed by the harness in its own database. A write that is rolled back takes its record with it.

CREATE SCHEMA oracle;
CREATE TABLE oracle.setting (window_s double precision NOT NULL);
CREATE TABLE oracle.forbidden (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL, run_id text, attempt int, writer text, detail jsonb);
CREATE TABLE oracle.life (run_id text PRIMARY KEY, at timestamptz NOT NULL);  -- of the newest claim or beat

CREATE FUNCTION oracle.record(what text, run_id text, attempt int, detail jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO oracle.forbidden (what, run_id, attempt, writer, detail)
    VALUES (what, run_id, attempt, current_setting('application_name'), detail)
$$;

CREATE FUNCTION oracle.run_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    writer text := current_setting('application_name');
    ended boolean := OLD.state IN ('succeeded', 'failed', 'cancelled');
    facts jsonb := jsonb_build_object('from', OLD.state, 'to', NEW.state, 'steps', ARRAY[OLD.checkpoint_step,
        NEW.checkpoint_step], 'leases', ARRAY[OLD.lease, NEW.lease], 'workers', ARRAY[OLD.worker, NEW.worker]);
    alive_s double precision;
BEGIN
    IF writer = 'faults' THEN RETURN NULL; END IF;
    IF ended AND NEW.state <> OLD.state THEN
        PERFORM oracle.record('left a terminal state', OLD.id, OLD.attempt, facts);
    ELSIF ended AND NEW IS DISTINCT FROM OLD THEN
        PERFORM oracle.record('written after its end', OLD.id, OLD.attempt, facts);
    END IF;
    IF NEW.state <> OLD.state AND NOT ended AND (OLD.state, NEW.state) NOT IN (
        ('queued', 'running'), ('queued', 'paused'), ('queued', 'cancelled'), ('paused', 'queued'),
        ('paused', 'cancelled'), ('running', 'queued'), ('running', 'paused'), ('running', 'cancelled'),
        ('running', 'succeeded'), ('running', 'failed')) THEN
        PERFORM oracle.record('a move that is not allowed', OLD.id, OLD.attempt, facts);
    END IF;
    IF OLD.state = 'running' AND NEW.state = 'running' AND NEW.lease <> OLD.lease THEN
        PERFORM oracle.record('a running row stolen', OLD.id, OLD.attempt, facts);
    END IF;
    IF NEW.attempt <> OLD.attempt + (OLD.state = 'queued' AND NEW.state = 'running')::int THEN
        PERFORM oracle.record('the attempt jumped', OLD.id, OLD.attempt, facts);
    END IF;
    IF NEW.checkpoint_step < OLD.checkpoint_step AND NOT EXISTS (
        SELECT FROM checkpoint WHERE step = OLD.checkpoint_step AND damaged AND run_id = OLD.id) THEN
        PERFORM oracle.record('the checkpoint step fell without a quarantine', OLD.id, OLD.attempt, facts);
    END IF;
    IF NEW.checkpoint_step > OLD.checkpoint_step AND NOT EXISTS (
        SELECT FROM checkpoint WHERE run_id = OLD.id AND step = NEW.checkpoint_step AND NOT damaged) THEN
        PERFORM oracle.record('a checkpoint step without its checkpoint', OLD.id, OLD.attempt, facts);
    END IF;
    IF OLD.state = 'running' AND writer LIKE 'saddle-worker %' AND writer <> 'saddle-worker ' || OLD.worker THEN
        PERFORM oracle.record('written by a worker that does not hold it', OLD.id, OLD.attempt, facts);
    END IF;
    IF OLD.state = 'running' AND NEW.state <> 'running' AND writer NOT LIKE 'saddle-worker %' THEN
        SELECT extract(epoch FROM clock_timestamp() - at) INTO alive_s FROM oracle.life WHERE run_id = OLD.id;
        IF alive_s < (SELECT 0.8 * window_s FROM oracle.setting) THEN
            PERFORM oracle.record('taken from a worker that lives', OLD.id, OLD.attempt,
                facts || jsonb_build_object('alive_s', alive_s));
        END IF;
    END IF;
    IF NEW.state = 'running' AND (NEW.beat, NEW.lease) IS DISTINCT FROM (OLD.beat, OLD.lease) THEN
        INSERT INTO oracle.life VALUES (NEW.id, clock_timestamp())
        ON CONFLICT (run_id) DO UPDATE SET at = excluded.at;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER oracle AFTER UPDATE ON run FOR EACH ROW EXECUTE FUNCTION oracle.run_changed();

CREATE FUNCTION oracle.held_by_writer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    holder record;
    writer text := current_setting('application_name');
BEGIN
    SELECT state, attempt, worker INTO holder FROM run WHERE id = NEW.run_id;
    IF holder.state <> 'running' OR holder.attempt <> NEW.attempt OR writer <> 'saddle-worker ' || holder.worker THEN
        PERFORM oracle.record(TG_TABLE_NAME || ' written by one that does not hold the run', NEW.run_id, NEW.attempt,
            jsonb_build_object('state', holder.state, 'attempt', holder.attempt, 'worker', holder.worker));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER oracle AFTER INSERT ON metric_chunk FOR EACH ROW EXECUTE FUNCTION oracle.held_by_writer();
CREATE TRIGGER oracle AFTER INSERT ON reading FOR EACH ROW EXECUTE FUNCTION oracle.held_by_writer();
CREATE TRIGGER oracle AFTER INSERT ON checkpoint FOR EACH ROW EXECUTE FUNCTION oracle.held_by_writer();

CREATE FUNCTION oracle.checkpoint_cuts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF EXISTS (SELECT FROM metric_chunk WHERE run_id = NEW.run_id AND attempt = NEW.attempt
               AND first_step <= NEW.step AND last_step > NEW.step)
        -- unless the same transaction retired it, or ended the run
        AND EXISTS (SELECT FROM checkpoint c JOIN run r ON r.id = c.run_id WHERE c.run_id = NEW.run_id
                    AND c.attempt = NEW.attempt AND c.step = NEW.step AND c.removed_at IS NULL
                    AND r.state NOT IN ('succeeded', 'failed', 'cancelled')) THEN
        PERFORM oracle.record('a chunk goes beyond a checkpoint', NEW.run_id, NEW.attempt,
            jsonb_build_object('step', NEW.step));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER oracle_cuts AFTER INSERT ON checkpoint  -- at the commit, which also holds chunks
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION oracle.checkpoint_cuts();

CREATE FUNCTION oracle.attempt_opened() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    uncut int;
BEGIN
    IF NOT EXISTS (SELECT FROM run WHERE id = NEW.run_id AND attempt >= NEW.attempt) THEN
        PERFORM oracle.record('an attempt that nobody claimed', NEW.run_id, NEW.attempt);
    END IF;
    SELECT count(*) INTO uncut FROM attempt
    WHERE run_id = NEW.run_id AND attempt < NEW.attempt AND (cut_step IS NULL OR cut_step > NEW.start_step);
    IF uncut > 0 THEN
        PERFORM oracle.record('an older attempt is not cut', NEW.run_id, NEW.attempt, to_jsonb(uncut));
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER oracle AFTER INSERT ON attempt DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION oracle.attempt_opened();

CREATE FUNCTION oracle.attempt_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF (NEW.lease, NEW.worker, NEW.start_step) IS DISTINCT FROM (OLD.lease, OLD.worker, OLD.start_step)
        OR (OLD.cut_step IS NOT NULL AND (NEW.cut_step IS NULL OR NEW.cut_step > OLD.cut_step))
        OR (OLD.ended_at IS NOT NULL AND (NEW.ended_at, NEW.ending) IS DISTINCT FROM (OLD.ended_at, OLD.ending)) THEN
        PERFORM oracle.record('the history of an attempt rewritten', OLD.run_id, OLD.attempt,
            jsonb_build_object('from', to_jsonb(OLD), 'to', to_jsonb(NEW)));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER oracle_changed AFTER UPDATE ON attempt FOR EACH ROW EXECUTE FUNCTION oracle.attempt_changed();

CREATE FUNCTION oracle.deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM oracle.record('a row deleted from ' || TG_TABLE_NAME, NULL, NULL, to_jsonb(OLD));
    RETURN NULL;
END $$;
CREATE TRIGGER oracle_deleted AFTER DELETE ON run FOR EACH ROW EXECUTE FUNCTION oracle.deleted();
CREATE TRIGGER oracle_deleted AFTER DELETE ON attempt FOR EACH ROW EXECUTE FUNCTION oracle.deleted();
CREATE TRIGGER oracle_deleted AFTER DELETE ON checkpoint FOR EACH ROW EXECUTE FUNCTION oracle.deleted();
CREATE TRIGGER oracle_deleted AFTER DELETE ON event FOR EACH ROW EXECUTE FUNCTION oracle.deleted();
