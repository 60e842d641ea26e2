// What a dashboard of ours may be: Grafana's types, with the options of each kind of panel, and nothing besides.
// A type of Grafana's leaves options and custom open (Record<string, unknown>), so that a misspelt one would pass.
import type * as g from '@grafana/schema';
import type * as Heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as Series from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// The same type as JSON writes it: the values of an enum instead of its names.
type Json<T> =
  T extends string ? (string extends T ? string : `${T}`) :
  T extends number ? number : // TypeScript lets any number pass for an enum of numbers; the few are spelt out below
  T extends boolean | null | undefined ? T :
  T extends Array<infer U> ? Json<U>[] :
  T extends object ? { [K in keyof T]: Json<T[K]> } : T;

// The Prometheus data source is not part of @grafana/schema any more.
interface Query {
  refId: string;
  datasource: { type: 'prometheus'; uid: '${datasource}' };
  expr: string;
  legendFormat?: string;
  format: 'time_series' | 'table' | 'heatmap';
  instant: boolean;
  range: boolean;
  editorMode: 'code' | 'builder';
}

interface Link {
  title: string;
  url: string;
  targetBlank: boolean;
}

type Fields = Omit<g.FieldConfig, 'custom' | 'links'> & { links?: Link[] };
type Property<Custom> =
  | { [K in keyof Fields]-?: { id: K; value: NonNullable<Fields[K]> } }[keyof Fields]
  | { [K in keyof Custom & string]-?: { id: `custom.${K}`; value: NonNullable<Custom[K]> } }[keyof Custom & string];

type Common = Omit<g.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'id' | 'title' | 'description' | 'gridPos'>;
interface Kind<Type, Options, Custom> extends Common {
  type: Type;
  id: number;
  title: string;
  description: string;
  gridPos: g.GridPos;
  options: Options;
  fieldConfig: {
    defaults: Fields & { custom: Custom };
    overrides: Array<{ matcher: { id: 'byName' | 'byFrameRefID'; options: string }; properties: Property<Custom>[] }>;
  };
  targets: Query[];
}

type Panel =
  | Kind<'stat', Stat.Options, Record<string, never>>
  | Kind<'timeseries', Series.Options, Series.FieldConfig>
  | Kind<'table', Table.Options, Table.FieldConfig>
  | Kind<'heatmap', Heatmap.Options, Heatmap.FieldConfig>
  | g.RowPanel;

interface Annotation extends g.AnnotationQuery {
  expr: string;
  titleFormat: string;
  textFormat: string;
  tagKeys: string;
  useValueForTime: boolean;
}

interface Variable extends Omit<g.VariableModel, 'hide' | 'refresh' | 'sort'> {
  type: 'query' | 'datasource';
}

type Replaced = 'panels' | 'annotations' | 'templating' | 'graphTooltip';
export type Dashboard = Json<
  Omit<g.Dashboard, Replaced> & { panels: Panel[]; annotations: { list: Annotation[] } }
> & {
  graphTooltip: 0 | 1 | 2;
  templating: { list: Array<Json<Variable> & { hide?: 0 | 1 | 2 | 3; refresh: 0 | 1 | 2; sort?: 0 | 1 | 2 | 3 }> };
};
