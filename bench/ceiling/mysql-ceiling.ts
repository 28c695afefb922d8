import mysql from "mysql2/promise";
import type { HistoryLine, Writer } from "./ceiling.js";

const schema = [
  `CREATE TABLE ceiling_run (id BIGINT NOT NULL PRIMARY KEY, epoch INT NOT NULL, last_seq INT NOT NULL, owner BIGINT NULL, due_at DOUBLE NULL, inbox_count INT NOT NULL)`,
  `CREATE TABLE ceiling_head (id BIGINT NOT NULL PRIMARY KEY, workflow_id VARCHAR(64) NOT NULL, run_id VARCHAR(64) NOT NULL, name TEXT NOT NULL)`,
  `CREATE TABLE ceiling_history (run BIGINT NOT NULL, seq INT NOT NULL, at DOUBLE NOT NULL, event TEXT NOT NULL, payload TEXT NULL, PRIMARY KEY (run, seq))`,
];

const listOf = (rows: readonly string[]): string => rows.map((row) => `(${row})`).join(",");

const insertLines = (lines: readonly HistoryLine[]): string =>
  `INSERT INTO ceiling_history VALUES ${listOf(lines.map(({ key, seq, at, event, payload }) => `${key},${seq},${at},'${event}','${payload}'`))}`;

const updateRuns = (lines: readonly HistoryLine[]): string =>
  `UPDATE ceiling_run q JOIN JSON_TABLE('${JSON.stringify(lines.map(({ key, seq }) => [key, seq]))}',
    '$[*]' COLUMNS (id BIGINT PATH '$[0]', seq INT PATH '$[1]')) j ON q.id = j.id SET q.last_seq = j.seq WHERE q.epoch = 1 AND q.last_seq = j.seq - 1`;

/** A transaction a commit, sent as one packet: that is one round trip. Text, because prepared statements take a row's values one by one. */
export async function openMysqlWriter(url: string): Promise<Writer> {
  const connection = await mysql.createConnection({ uri: url, multipleStatements: true });
  await connection.query(`SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;${schema.join(";")}`);
  const transact = async (...statements: readonly string[]): Promise<void> =>
    void (await connection.query(["START TRANSACTION", ...statements, "COMMIT"].join(";")));
  return {
    driver: "mysql2",
    start: (heads, lines) =>
      transact(
        `INSERT INTO ceiling_run VALUES ${listOf(heads.map(({ key }) => `${key},1,1,1,NULL,0`))}`,
        `INSERT INTO ceiling_head VALUES ${listOf(heads.map(({ key, workflowId, runId, name }) => `${key},'${workflowId}','${runId}','${name}'`))}`,
        insertLines(lines),
      ),
    step: (lines) => transact(updateRuns(lines), insertLines(lines)),
    close: () => connection.end(),
  };
}
