// Prometheus's answers as data frames, as Grafana's data source for it makes them.

import { type DataFrame, type Field, FieldType, createDataFrame, renderLegendFormat } from '@grafana/data';

export interface Target {
  expr: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  legendFormat?: string;
  refId: string;
}

/** What is shown: milliseconds since the epoch, and the step between two points. */
export interface Span {
  from: number;
  to: number;
  step: number;
}

interface Series {
  metric: Record<string, string>;
  value?: [number, string];
  values?: [number, string][];
}

/** Of the Prometheus that serves the page. */
export async function ask(target: Target, span: Span): Promise<Series[]> {
  const parameters = new URLSearchParams({ query: target.expr });
  if (target.instant) {
    parameters.set('time', String(span.to / 1000));
  } else {
    parameters.set('start', String(span.from / 1000));
    parameters.set('end', String(span.to / 1000));
    parameters.set('step', String(span.step / 1000));
  }
  const endpoint = target.instant ? 'query' : 'query_range';
  const response = await fetch(`/api/v1/${endpoint}?${parameters}`);
  const answer = await response.json();
  if (answer.status !== 'success') {
    throw new Error(`${target.expr}: ${answer.error}`);
  }
  const { resultType, result } = answer.data;
  return resultType === 'scalar' ? [{ metric: {}, value: result }] : result;
}

export function frames(target: Target, series: Series[], span: Span): DataFrame[] {
  switch (target.format) {
    case 'table':
      return [table(target, series)];
    case 'heatmap':
      return [buckets(target, series, span)];
    case 'time_series':
      return series.map((one) => timeSeries(target, one, span));
  }
}

function points(series: Series): [number, string][] {
  return series.values ?? (series.value ? [series.value] : []);
}

function number(text: string): number {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text);
}

function name(target: Target, labels: Record<string, string>): string {
  if (target.legendFormat) {
    return renderLegendFormat(target.legendFormat, labels);
  }
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return pairs.length ? `{${pairs.join(', ')}}` : target.expr;
}

function timeField(times: number[], span: Span): Partial<Field> {
  return { name: 'Time', type: FieldType.time, config: { interval: span.step }, values: times };
}

function timeSeries(target: Target, series: Series, span: Span): DataFrame {
  const all = points(series);
  const times = all.map(([time]) => time * 1000);
  const config = { displayNameFromDS: name(target, series.metric) };
  const values = all.map(([, value]) => number(value));
  return createDataFrame({
    refId: target.refId,
    fields: [
      timeField(times, span),
      { name: 'Value', type: FieldType.number, labels: series.metric, config, values },
    ],
  });
}

function table(target: Target, series: Series[]): DataFrame {
  const labels = [...new Set(series.flatMap((one) => Object.keys(one.metric)))].sort();
  const first = series.map((one) => points(one)[0]);
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: first.map(([time]) => time * 1000) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: series.map((one) => one.metric[label] ?? ''),
      })),
      { name: 'Value', type: FieldType.number, values: first.map(([, value]) => number(value)) },
    ],
  });
}

/** Counts up to each bound become counts of each bucket: one field each, in order. */
function buckets(target: Target, series: Series[], span: Span): DataFrame {
  const bound = (one: Series) => number(one.metric.le ?? '+Inf');
  const sorted = [...series].sort((one, other) => bound(one) - bound(other));
  const times = [...new Set(sorted.flatMap((one) => points(one).map(([time]) => time)))].sort();
  const upTo = sorted.map((one) => new Map(points(one)));
  return createDataFrame({
    refId: target.refId,
    fields: [
      timeField(times.map((time) => time * 1000), span),
      ...sorted.map((one, index) => ({
        name: one.metric.le ?? '',
        type: FieldType.number,
        values: times.map((time) => {
          const below = index ? number(upTo[index - 1].get(time) ?? '0') : 0;
          return Math.max(0, number(upTo[index].get(time) ?? '0') - below);
        }),
      })),
    ],
  });
}
