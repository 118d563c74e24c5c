/** Panels that draw one number per series: stat and bar gauge. */

import {
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type ReduceDataOptions,
  VizOrientation,
} from '@grafana/data';
import {
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeValueMode,
  type VizTextDisplayOptions,
} from '@grafana/schema';
import {
  BarGauge,
  BigValue,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  useTheme2,
  VizRepeater,
  type VizRepeaterRenderValueProps,
} from '@grafana/ui';
import { type JSX } from 'react';

import { configOf } from '../fields';
import { type PanelProps } from './props';

type Rendered = VizRepeaterRenderValueProps<FieldDisplay, ReturnType<typeof getDisplayValueAlignmentFactors>>;

interface CommonOptions {
  reduceOptions?: ReduceDataOptions;
  orientation?: VizOrientation;
  text?: VizTextDisplayOptions;
}

interface StatOptions extends CommonOptions {
  colorMode?: BigValueColorMode;
  graphMode?: BigValueGraphMode;
  justifyMode?: BigValueJustifyMode;
  textMode?: BigValueTextMode;
  wideLayout?: boolean;
}

interface BarGaugeOptions extends CommonOptions {
  displayMode?: BarGaugeDisplayMode;
  valueMode?: BarGaugeValueMode;
  namePlacement?: BarGaugeNamePlacement;
  showUnfilled?: boolean;
  minVizHeight?: number;
  maxVizHeight?: number;
}

export function StatPanel(props: PanelProps) {
  const theme = useTheme2();
  const options: StatOptions = props.panel.options ?? {};
  const graphMode = options.graphMode ?? BigValueGraphMode.Area;
  const draw = ({ value, alignmentFactors, width, height, count }: Rendered) => (
    <BigValue
      value={value.display}
      count={count}
      sparkline={graphMode === BigValueGraphMode.None ? undefined : value.sparkline}
      colorMode={options.colorMode ?? BigValueColorMode.Value}
      graphMode={graphMode}
      justifyMode={options.justifyMode ?? BigValueJustifyMode.Auto}
      textMode={options.textMode ?? BigValueTextMode.Auto}
      disableWideLayout={options.wideLayout === false}
      alignmentFactors={alignmentFactors}
      text={options.text}
      width={width}
      height={height}
      theme={theme}
    />
  );
  return <Values {...props} options={options} sparkline={graphMode !== BigValueGraphMode.None} autoGrid draw={draw} />;
}

export function BarGaugePanel(props: PanelProps) {
  const theme = useTheme2();
  const options: BarGaugeOptions = props.panel.options ?? {};
  const draw = ({ value, alignmentFactors, orientation, width, height }: Rendered) => (
    <BarGauge
      value={value.display}
      field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
      orientation={orientation}
      displayMode={options.displayMode ?? BarGaugeDisplayMode.Gradient}
      valueDisplayMode={options.valueMode ?? BarGaugeValueMode.Color}
      namePlacement={options.namePlacement ?? BarGaugeNamePlacement.Auto}
      showUnfilled={options.showUnfilled ?? true}
      itemSpacing={10}
      lcdCellWidth={12}
      alignmentFactors={alignmentFactors}
      text={options.text}
      width={width}
      height={height}
      theme={theme}
    />
  );
  const heights = { minVizHeight: options.minVizHeight ?? 16, maxVizHeight: options.maxVizHeight ?? 300 };
  return <Values {...props} {...heights} options={options} draw={draw} />;
}

interface ValuesProps extends PanelProps {
  options: CommonOptions;
  sparkline?: boolean;
  autoGrid?: boolean;
  minVizHeight?: number;
  maxVizHeight?: number;
  draw: (rendered: Rendered) => JSX.Element;
}

function Values({ panel, frames, options, sparkline = false, draw, ...size }: ValuesProps) {
  const theme = useTheme2();
  const values = getFieldDisplayValues({
    data: frames,
    fieldConfig: configOf(panel),
    reduceOptions: options.reduceOptions ?? { calcs: ['lastNotNull'] },
    replaceVariables: (text) => text,
    sparkline,
    theme,
    timeZone: 'utc',
  });
  return (
    <VizRepeater<FieldDisplay, ReturnType<typeof getDisplayValueAlignmentFactors>>
      {...size}
      source={frames}
      renderCounter={0}
      itemSpacing={sparkline ? 3 : 10}
      orientation={options.orientation ?? VizOrientation.Auto}
      getValues={() => values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={draw}
    />
  );
}
