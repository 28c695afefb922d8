import { pins } from "./session.js";

/**
 * A batch inside a transaction of the application's. The plans are pinned by settings of the function itself: they hold while it runs and are as they were
 * when it has returned or failed, so that the application's own statements are planned as it wants them to be. SET LOCAL would last until its transaction
 * ends. Its search path is not looked at either.
 */
export const withinFunction = (s: string): string => `
CREATE FUNCTION ${s}.apply_within_1(transaction text, operations json, lines json, claim_routes text[], channel text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp ${pins.map((pin) => `SET ${pin}`).join(" ")} AS $$
BEGIN
  IF pg_current_xact_id()::text <> transaction THEN
    RAISE EXCEPTION USING ERRCODE = '25P01', MESSAGE = 'two statements in a row are in two transactions';
  END IF;
  -- Delivered if and when the transaction commits. Without a sender, so that the process of this store hears of it as well: only then is there news.
  PERFORM pg_notify(channel, '');
  RETURN (SELECT json_agg(json_build_array(q.x, q.code, q.n, q.k, q.w, q.made_at, q.extra)) FROM ${s}.apply_1(operations, lines, 1, claim_routes) AS q);
END $$;
`;
