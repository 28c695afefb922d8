// GeoJSON and TopoJSON: properties become columns, geometry is checked here, where its structure is known.
import { type Column, columnsFromRecords, countDuplicates, isRecord, type JsonRecord, type ParsedFile } from "./tables.js";

const records = (value: unknown): readonly JsonRecord[] => (Array.isArray(value) ? value.filter(isRecord) : []);

export function parseGeoJson(collection: JsonRecord): ParsedFile {
  const features = records(collection["features"]);
  const geometries = features.map((feature) => (isRecord(feature["geometry"]) ? feature["geometry"] : {}));
  const positions = geometries.flatMap((geometry) => positionsIn(geometry["coordinates"]));
  const astray = positions.filter(([longitude = 0, latitude = 0]) => Math.abs(longitude) > 180 || Math.abs(latitude) > 90).length;
  const shapeless = geometries.filter((geometry) => geometry["coordinates"] === undefined && geometry["geometries"] === undefined).length;
  const faults: string[] = [];
  if (astray > 0) faults.push(`${astray} of ${positions.length} positions are not on the globe`);
  if (shapeless > 0) faults.push(`${shapeless} of ${features.length} features have no geometry`);
  return {
    format: "GeoJSON",
    rows: features.length,
    columns: [...columnsFromRecords(features.map(propertiesOf)), typesColumn(geometries)],
    duplicateRows: countDuplicates(features.map((feature) => [feature])),
    faults,
    facts: [`${positions.length} positions`],
  };
}

export function parseTopology(topology: JsonRecord): ParsedFile {
  const arcs = Array.isArray(topology["arcs"]) ? topology["arcs"] : [];
  const layers = isRecord(topology["objects"]) ? Object.entries(topology["objects"]) : [];
  const geometries = layers.flatMap(([, layer]) =>
    isRecord(layer) ? (Array.isArray(layer["geometries"]) ? records(layer["geometries"]) : [layer]) : [],
  );
  const references = geometries.flatMap((geometry) => numbersIn(geometry["arcs"]));
  // A negative reference means the arc ~reference, reversed.
  const dangling = references.filter((reference) => (reference < 0 ? ~reference : reference) >= arcs.length).length;
  const empty = geometries.filter((geometry) => geometry["type"] === null || geometry["type"] === undefined).length;
  const faults: string[] = [];
  if (dangling > 0) faults.push(`${dangling} references lead to arcs that are not there`);
  if (empty > 0) faults.push(`${empty} of ${geometries.length} geometries have no shape`);
  const ids = geometries.map((geometry) => ({ ...("id" in geometry ? { id: geometry["id"] } : {}), ...propertiesOf(geometry) }));
  return {
    format: "TopoJSON",
    rows: geometries.length,
    columns: [...columnsFromRecords(ids), typesColumn(geometries)],
    duplicateRows: countDuplicates(geometries.map((geometry) => [geometry])),
    faults,
    facts: [`${arcs.length} arcs`, `layers: ${layers.map(([name]) => name).join(", ")}`],
  };
}

const propertiesOf = (item: JsonRecord): JsonRecord => (isRecord(item["properties"]) ? item["properties"] : {});

const typesColumn = (geometries: readonly JsonRecord[]): Column => ({
  name: "(geometry type)",
  cells: geometries.map((geometry) => (typeof geometry["type"] === "string" ? geometry["type"] : null)),
});

function positionsIn(value: unknown): readonly (readonly number[])[] {
  if (!Array.isArray(value)) return [];
  return typeof value[0] === "number" ? [value as number[]] : value.flatMap(positionsIn);
}

function numbersIn(value: unknown): readonly number[] {
  if (typeof value === "number") return [value];
  return Array.isArray(value) ? value.flatMap(numbersIn) : [];
}
