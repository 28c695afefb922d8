import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkFile, type FileFacts, figure, share } from "../../demo/data/check-file.js";
import { classifyCell } from "../../demo/data/classify-cell.js";
import { findDataset } from "../../demo/data/dataset.js";
import { parseFile } from "../../demo/data/parse-file.js";
import { profileColumn } from "../../demo/data/profile-column.js";
import type { Cell, ParsedFile } from "../../demo/data/tables.js";

const parse = (name: string, text: string): ParsedFile => parseFile(name, Buffer.from(text));
const names = ({ columns }: ParsedFile): readonly string[] => columns.map(({ name }) => name);
const profile = (...cells: Cell[]) => profileColumn({ name: "x", cells });

describe("parsing", () => {
  it("reads CSV with quotes, and counts copies and rows of the wrong width", () => {
    const parsed = parse("a.csv", 'a,b\n1,"x, y"\n1,"x, y"\n2\n');
    expect(parsed).toMatchObject({ format: "CSV", rows: 3, duplicateRows: 1, faults: ["1 rows do not have 2 cells (first in line 4)"] });
    expect(parsed.columns[1]?.cells).toEqual(["x, y", "x, y", null]);
  });

  it("reads TSV, drops a byte order mark and notices nameless and double columns", () => {
    const parsed = parse("a.tsv", "\uFEFFa\ta\t\n1\t2\t3\n");
    expect(names(parsed)).toEqual(["a", "a", "(column 3)"]);
    expect(parsed.faults).toEqual(["1 of 3 columns have no name", "column names that appear twice: a"]);
    expect(parsed.facts).toEqual(["begins with a byte order mark"]);
  });

  it("notices an empty file, bytes that are not UTF-8 and JSON that is none", () => {
    expect(parse("a.csv", "").faults).toEqual(["the file is empty"]);
    expect(parseFile("a.csv", Buffer.from([97, 10, 0xff])).faults).toEqual(["1 characters are not valid UTF-8"]);
    expect(parse("a.json", "{").faults[0]).toMatch(/^is not JSON: /);
  });

  it("turns records into columns, a key that is not there being a missing cell", () => {
    const parsed = parse("a.json", '[{"a":1},{"a":2,"b":[3]},{"a":1}]');
    expect(parsed).toMatchObject({ format: "JSON records", rows: 3, duplicateRows: 1 });
    expect(parsed.columns).toEqual([
      { name: "a", cells: [1, 2, 1] },
      { name: "b", cells: [null, [3], null] },
    ]);
  });

  it("reads rows, vectors and objects of lists", () => {
    expect(names(parse("a.json", "[[1,2],[3]]"))).toEqual(["0", "1"]);
    expect(parse("a.json", "[5,5]")).toMatchObject({ format: "JSON values", rows: 2, duplicateRows: 0 });
    const graph = parse("a.json", '{"nodes":[{"id":1}],"links":[{"to":1},{"to":1}],"size":3}');
    expect(names(graph)).toEqual(["nodes.id", "links.to"]);
    expect(graph).toMatchObject({ rows: 2, duplicateRows: 1, facts: ["nodes: 1 items", "links: 2 items", "size: 3"] });
  });

  it("checks the geometry of GeoJSON and TopoJSON", () => {
    const point = { type: "Feature", properties: { a: 1 }, geometry: { type: "Point", coordinates: [200, 0] } };
    const geo = parse("a.json", JSON.stringify({ type: "FeatureCollection", features: [point, { type: "Feature", geometry: null }] }));
    expect(geo.faults).toEqual(["1 of 1 positions are not on the globe", "1 of 2 features have no geometry"]);
    const geometries = [{ type: "Polygon", arcs: [[0, -2]] }, { type: "Polygon", arcs: [[-3]], id: 7 }, { type: null }];
    const topology = parse(
      "a.json",
      JSON.stringify({ type: "Topology", objects: { land: { type: "GeometryCollection", geometries } }, arcs: [[], []] }),
    );
    expect(topology.faults).toEqual(["1 references lead to arcs that are not there", "1 of 3 geometries have no shape"]);
    expect(names(topology)).toEqual(["id", "(geometry type)"]);
  });

  it("checks the structure of images and containers, and takes what it does not know as bytes", () => {
    const png = readFileSync(join(findDataset().folder, "gimp.png"));
    expect(parseFile("a.png", png)).toMatchObject({ faults: [], facts: ["100 × 100 pixels", "5 chunks"] });
    const broken = Buffer.from(png);
    broken[20] = (broken[20] ?? 0) ^ 1;
    expect(parseFile("a.png", broken).faults).toEqual(["the checksum of chunk IHDR is wrong"]);
    expect(parseFile("a.png", png.subarray(0, -20)).faults).toContain("the image is cut off");
    expect(parse("a.parquet", "PAR1....PAR").faults).toHaveLength(2);
    expect(parse("a.arrow", "ARROW1").faults).not.toEqual([]);
    expect(parse("a.xyz", "abc")).toMatchObject({ format: ".xyz file", columns: [{ name: "(bytes)", cells: [97, 98, 99] }] });
  });
});

describe("profiling", () => {
  it.each([
    [7, "integer"],
    [0.5, "number"],
    ["-12", "integer"],
    [".097", "number"],
    ["1e-3", "number"],
    ["45,571,090", "number"],
    ["00501", "text"],
    ["2015/01/01 01:00:00", "date"],
    ["1990-01-08", "date"],
    ["Jan 1 2000", "date"],
    ["2015-13-01", "text"],
    ["TRUE", "boolean"],
    [" n/a ", "missing"],
    ["", "missing"],
    [null, "missing"],
    ["None", "text"],
    [[1], "list"],
    [{ a: 1 }, "object"],
  ] as const)("takes %j for %s", (cell, type) => {
    expect(classifyCell(cell)).toBe(type);
  });

  it("tells numbers, text and what is missing apart", () => {
    expect(profile("1", "2.5", "", "x", " 3 ")).toMatchObject({
      count: 5,
      missing: 1,
      distinct: 4,
      types: { integer: 2, number: 1, text: 1 },
      type: "number",
      padded: 1,
      odd: ["x"],
      numbers: { min: 1, max: 3, median: 2.5 },
    });
    expect(profile("a", "b", "a").common).toEqual([{ value: "a", count: 2 }]);
    expect(profile(null, "")).toMatchObject({ missing: 2, distinct: 0, type: "missing", numbers: undefined });
  });

  it("finds values far outside the middle half, where the middle half has a width", () => {
    expect(profile(...Array.from({ length: 20 }, (_, index) => index), 1000).numbers?.outliers).toBe(1);
    expect(profile(5, 5, 5, 5, 5, 1000).numbers?.outliers).toBe(0);
  });
});

describe("checking", () => {
  const declaration = { bytes: 10, gitHash: "abc", fields: [{ name: "n", type: "integer" }] };
  const facts = (cells: readonly Cell[], more: Partial<FileFacts> = {}): FileFacts => ({
    bytes: 10,
    gitHash: "abc",
    rows: cells.length,
    duplicateRows: 0,
    faults: [],
    profiles: [profileColumn({ name: "n", cells })],
    ...more,
  });
  const found = (file: FileFacts) => checkFile(file, declaration).map(({ severity, check }) => `${severity} ${check}`);

  it("has nothing to say about a good file", () => {
    expect(found(facts([1, 2, 3]))).toEqual([]);
  });

  it.each([
    ["another size", facts([1, 2], { bytes: 9 }), "error integrity"],
    ["another hash", facts([1, 2], { gitHash: "abd" }), "error integrity"],
    ["an empty file", facts([1, 2], { bytes: 0 }), "error integrity"],
    ["a fault of structure", facts([1, 2], { faults: ["broken"] }), "error structure"],
    ["many copies", facts([1, 2], { duplicateRows: 1 }), "error duplicates"],
    ["few copies", facts([1, 2], { duplicateRows: 1, rows: 1000 }), "warning duplicates"],
    ["many missing values", facts([1, 2, null]), "error missing values"],
    ["numbers with text among them", facts([1, 2, 3, "x"]), "error type mix"],
    ["a type that is not the declared one", facts([1.5, 2]), "error declared schema"],
    [
      "a declared column that is not there",
      facts([], { profiles: [profileColumn({ name: "m", cells: [1, 2] })] }),
      "error declared schema",
    ],
    ["thousands separators", facts([1, "2,000"]), "error number format"],
    ["one value only", facts([1, 1]), "warning constant"],
    ["stray blanks", facts([1, " 2"]), "warning stray blanks"],
  ])("finds %s", (_, file, finding) => {
    expect(found(file)).toContain(finding);
  });

  it("finds coordinates that are not on the globe and keys that appear again", () => {
    const places = facts([], {
      profiles: [profileColumn({ name: "latitude", cells: [10, 95] }), profileColumn({ name: "item_id", cells: ["a", "a", "b"] })],
    });
    expect(checkFile(places, { ...declaration, fields: [] }).map(({ check }) => check)).toEqual(["range", "keys"]);
  });

  it("accepts every file of the collection as intact, and knows some of its blemishes", () => {
    const { files, declarations } = findDataset();
    expect(files.length).toBeGreaterThan(60);
    expect(files.filter((file) => !declarations.has(file))).toEqual([]);
    const { folder } = findDataset();
    const zipcodes = parseFile("zipcodes.csv", readFileSync(join(folder, "zipcodes.csv")));
    expect(profileColumn(zipcodes.columns[0]!).odd).toContain("00501");
  });

  it("writes shares and figures as people do", () => {
    expect([share(1, 3), share(1, 100_000), share(0, 5), share(1, 40)]).toEqual(["33 %", "< 0.1 %", "0 %", "2.5 %"]);
    expect([figure(1234567), figure(0.000123456), figure(12.3456)]).toEqual(["1,234,567", "0.0001235", "12.35"]);
  });
});
