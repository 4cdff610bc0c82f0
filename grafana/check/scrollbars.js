// In place of react-custom-scrollbars-2: to a module of Grafana's, which is an .mjs, esbuild
// would give the whole of that CommonJS module as its default, as Node does.

export { default, default as Scrollbars } from './node_modules/react-custom-scrollbars-2/lib/Scrollbars';
