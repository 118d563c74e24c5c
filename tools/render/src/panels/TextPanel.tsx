import { renderTextPanelMarkdown } from '@grafana/data';
import { RenderUserContentAsHTML } from '@grafana/ui';

import { type PanelProps } from './props';

export function TextPanel({ panel }: PanelProps) {
  const content = String(panel.options?.content ?? '');
  return <RenderUserContentAsHTML className="markdown-html" content={renderTextPanelMarkdown(content)} />;
}
