/**
 * What a turn leaves behind on occasion: requests to cancel tasks, and what its chain keeps for everybody to read. The run is locked by whoever calls,
 * which makes the places in streams follow one another.
 */
export const shelfFunctions = (s: string): string => `
CREATE FUNCTION ${s}.leave_behind_1(of_run bigint, of_chain bigint, extra json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF extra -> 'ca' IS NOT NULL THEN
    UPDATE ${s}.task q SET is_cancel_requested = true
    WHERE q.run = of_run AND q.command = ANY (ARRAY (SELECT json_array_elements_text(extra -> 'ca')::integer));
  END IF;
  IF extra -> 'en' IS NOT NULL THEN
    INSERT INTO ${s}.entry AS q (chain, name, version, payload, payload_bytes)
    SELECT of_chain, j.n, j.v, j.p, decode(j.b, 'base64') FROM json_to_recordset(extra -> 'en') AS j(n text, v integer, p text, b text)
    ON CONFLICT (chain, name) DO UPDATE SET version = q.version + excluded.version, payload = excluded.payload, payload_bytes = excluded.payload_bytes;
  END IF;
  IF extra -> 'cu' IS NOT NULL THEN
    PERFORM ${s}.append_chunks_1(of_chain, extra -> 'cu');
  END IF;
  IF extra -> 'ab' IS NOT NULL THEN
    INSERT INTO ${s}.attribute (chain, name, value, long_forms)
    SELECT of_chain, j.n, j.v, j.lf FROM json_to_recordset(extra -> 'ab') AS j(n text, v text, lf text) WHERE j.v IS NOT NULL
    ON CONFLICT (chain, name) DO UPDATE SET value = excluded.value, long_forms = excluded.long_forms;
    DELETE FROM ${s}.attribute q WHERE q.chain = of_chain
      AND q.name = ANY (ARRAY (SELECT j.n FROM json_to_recordset(extra -> 'ab') AS j(n text, v text) WHERE j.v IS NULL));
  END IF;
END $$;

-- The numbers of each writer ascend; what it has appended already is left out.
CREATE FUNCTION ${s}.append_chunks_1(of_chain bigint, chunks json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ${s}.chunk (chain, stream, chunk_offset, writer, long_writer, number, restart_at, payload, payload_bytes)
  SELECT of_chain, a.s, coalesce(
      (SELECT q.chunk_offset FROM ${s}.chunk q WHERE q.chain = of_chain AND q.stream = a.s ORDER BY q.chunk_offset DESC LIMIT 1), -1
    ) + row_number() OVER (PARTITION BY a.s ORDER BY a.i), a.w, a.lw, a.n, a.r, a.p, decode(a.b, 'base64')
  FROM json_to_recordset(chunks) AS a(i integer, s text, w text, lw text, n integer, r integer, p text, b text)
  WHERE a.n = 0 OR a.n > coalesce(
      (SELECT q.number FROM ${s}.chunk q WHERE q.chain = of_chain AND q.stream = a.s AND q.writer = a.w AND q.number > 0 ORDER BY q.number DESC LIMIT 1), 0
    );
END $$;
`;
